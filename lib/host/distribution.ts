/** How this distribution changes the kernel's command line, installs a kernel and keeps a device's driver. */

import { bindCommand } from "../backend/kernel/vfio-sysfs.ts";

/** Looks for a file of the tree. */
type Exists = (path: string) => boolean;

/** Programs that change the kernel's command line. */
type BootLoaderTool = "rpm-ostree" | "grubby" | "update-grub" | "grub2-mkconfig" | "grub-mkconfig";

/** Where they are, the most particular first: grubby of Fedora's family knows more than its grub2-mkconfig. */
const TOOLS: readonly (readonly [BootLoaderTool, readonly string[]])[] = [
  ["rpm-ostree", ["run/ostree-booted"]],
  ["grubby", ["usr/sbin/grubby", "usr/bin/grubby"]],
  ["update-grub", ["usr/sbin/update-grub"]],
  ["grub2-mkconfig", ["usr/sbin/grub2-mkconfig", "usr/bin/grub2-mkconfig"]],
  ["grub-mkconfig", ["usr/bin/grub-mkconfig"]],
];

/** The characters of a kernel parameter that may become part of a shell command. */
const HARMLESS = /^[\w.,=:+-]+$/;

/** A distribution, by os-release(5) and by the programs that are there. */
export class Distribution {
  /** "ubuntu"; undefined where there is no os-release. */
  readonly #id: string | undefined;
  /** "24.04" */
  readonly #version: string;
  readonly #like: readonly string[];
  readonly #tool: BootLoaderTool | undefined;
  readonly #driverctl: boolean;

  constructor(read: (path: string) => string | undefined, exists: Exists) {
    const text = read("etc/os-release") ?? read("usr/lib/os-release") ?? "";
    const field = (name: string) => text.match(new RegExp(`^${name}="?([^"\n]*)"?$`, "m"))?.[1];
    this.#id = field("ID");
    this.#version = field("VERSION_ID") ?? "";
    this.#like = [this.#id ?? "", ...(field("ID_LIKE") ?? "").split(" ")];
    this.#tool = TOOLS.find(([, places]) => places.some(exists))?.[0];
    this.#driverctl = exists("usr/sbin/driverctl") || exists("usr/bin/driverctl");
  }

  /** Changes the command line of the next boots; none where it is not known how. */
  parameterCommands(add: readonly string[], remove: readonly string[]): string[] {
    if (![...add, ...remove].every((word) => HARMLESS.test(word))) return [];
    const [added, removed] = [add.join(" "), remove.join(" ")];
    const debian = this.#tool === "update-grub";
    // Shell scripts, which GRUB's tools read: what is appended is read last. Debian's directory is read after the file.
    const places = debian ? "/etc/default/grub /etc/default/grub.d/*.cfg" : "/etc/default/grub";
    const target = debian ? "> /etc/default/grub.d/iommufd.cfg" : ">> /etc/default/grub";
    const edit = [
      ...remove.map(
        (word) => `sed -i 's/ *\\b${word.replaceAll(".", "\\.")}//' $(grep -ls '${word}' ${places})`,
      ),
      ...(debian && added !== "" ? ["mkdir -p /etc/default/grub.d"] : []),
      ...(added === ""
        ? []
        : [`echo 'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT ${added}"' ${target}`]),
    ];
    switch (this.#tool) {
      case "rpm-ostree": {
        const changes = [
          ...remove.map((word) => `--delete-if-present=${word}`),
          ...add.map((word) => `--append-if-missing=${word}`),
        ];
        return [`rpm-ostree kargs ${changes.join(" ")}`];
      }
      case "grubby":
        return [
          `grubby --update-kernel=ALL${removed === "" ? "" : ` --remove-args="${removed}"`}${added === "" ? "" : ` --args="${added}"`}`,
        ];
      case "update-grub":
        return [...edit, "update-grub"];
      case "grub2-mkconfig":
        return [...edit, "grub2-mkconfig -o /boot/grub2/grub.cfg"];
      case "grub-mkconfig":
        return [...edit, "grub-mkconfig -o /boot/grub/grub.cfg"];
      default:
        return [];
    }
  }

  /** Installs a later kernel; none where it is not known how. */
  get kernelCommands(): string[] {
    const isLike = (...ids: string[]) => this.#like.some((id) => ids.includes(id));
    // Releases with long support (22.04, 24.04) have the kernels of later ones under this name.
    if (this.#id === "ubuntu" && /^\d*[02468]\.04$/.test(this.#version))
      return [`apt install linux-generic-hwe-${this.#version}`];
    if (isLike("rhel", "fedora", "centos")) return ["dnf upgrade kernel"];
    if (isLike("suse", "opensuse")) return ["zypper update kernel-default"];
    if (isLike("arch")) return ["pacman -Syu"];
    return [];
  }

  /** Gives a device to vfio-pci: for good with driverctl, else until the next boot. */
  bindCommands(bdf: string, driver: string | undefined): string[] {
    return this.#driverctl ? [`driverctl set-override ${bdf} vfio-pci`] : [bindCommand(bdf, driver)];
  }

  /** Whether what {@link bindCommands} does outlasts the next boot. */
  get keepsBindings(): boolean {
    return this.#driverctl;
  }
}
