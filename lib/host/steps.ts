/** The steps for a machine, in order, with one reboot at most. */

import { type HostCheck, type Need, wordsOf } from "./check.ts";
import type { Machine } from "./machine.ts";

/** One step of a plan. */
export interface Step {
  /** The step in words. */
  readonly title: string;
  /** Commands for a shell of root's; none where there is nothing to type, or it is not known what. */
  readonly commands: readonly string[];
}

type NeedOf<Kind extends Need["kind"]> = Extract<Need, { kind: Kind }>;

/** The needs of all checks, each once. */
class Needs {
  readonly #all: readonly Need[];

  constructor(checks: readonly HostCheck[]) {
    const all = checks.flatMap(({ needs }) => needs);
    this.#all = [...new Map(all.map((need) => [JSON.stringify(need), need])).values()];
  }

  of<Kind extends Need["kind"]>(kind: Kind): NeedOf<Kind>[] {
    return this.#all.filter((need): need is NeedOf<Kind> => need.kind === kind);
  }

  has(...kinds: Need["kind"][]): boolean {
    return kinds.some((kind) => this.of(kind).length > 0);
  }

  /** Each of a kind that is nothing but words. */
  texts(kind: "elsewhere" | "decision" | "firmware" | "hypervisor" | "kernel" | "memlock" | "vmm"): string[] {
    return this.of(kind).map(({ text }) => text);
  }
}

/**
 * Makes a plan of the remedies of checks. Decisions for people come first. Then everything that takes effect with the
 * next boot, and one reboot. Then the changes to the running machine, and at last the commands that show whether it
 * worked.
 *
 * @param bdfs the devices that were looked at
 */
export function stepsOf(machine: Machine, checks: readonly HostCheck[], bdfs: readonly string[]): Step[] {
  const needs = new Needs(checks);
  const [elsewhere] = needs.texts("elsewhere");
  if (elsewhere !== undefined) return [step(elsewhere), step("see what that one lacks", "iommufd doctor")];
  // A container does not show what its host is.
  const { container } = machine.platform;
  const steps = [
    ...needs.texts("decision").map((text) => step(text)),
    ...onHost(container, [
      ...beforeReboot(machine, needs),
      ...reboot(machine, needs),
      ...afterReboot(machine, needs),
    ]),
    ...forProcess(machine, needs),
    ...needs.texts("vmm").map((text) => step(text)),
  ];
  if (!checks.some(({ status }) => status === "fail")) return steps;
  const devices = bdfs.map((bdf) => ` ${bdf}`).join("");
  return [...steps, step("See whether it worked", `iommufd doctor${devices}`, `iommufd probe${devices}`)];
}

function step(title: string, ...commands: string[]): Step {
  return { title: capital(title), commands };
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Changes that take effect only with the next boot. */
function beforeReboot({ distribution, platform }: Machine, needs: Needs): Step[] {
  const kernel = needs.texts("kernel");
  const { add, remove } = parameters(needs);
  const words = wordsOf({ kind: "parameters", add, remove });
  const [kernelCommands, parameterCommands] = platform.container
    ? [[], []]
    : [distribution.kernelCommands, distribution.parameterCommands(add, remove)];
  return [
    ...needs.texts("hypervisor").map((text) => step(text)),
    ...needs.texts("firmware").map((text) => step(text)),
    ...(kernel.length === 0 ? [] : [step(`install a kernel ${kernel.join(", and ")}`, ...kernelCommands)]),
    ...(words === "" ? [] : [step(words, ...parameterCommands)]),
  ];
}

/** All words in one step. No check may take a parameter off the command line that another check wants there. */
function parameters(needs: Needs): { add: string[]; remove: string[] } {
  const all = needs.of("parameters");
  const add = [...new Set(all.flatMap((need) => need.add))];
  const remove = [...new Set(all.flatMap((need) => need.remove))].filter((word) => !add.includes(word));
  return { add, remove };
}

function reboots(needs: Needs): boolean {
  return needs.has("hypervisor", "firmware", "kernel", "parameters");
}

function reboot(machine: Machine, needs: Needs): Step[] {
  if (!reboots(needs)) return [];
  const bound = machine.distribution.keepsBindings ? [] : machine.vfioDevices;
  const again =
    bound.length === 0 ? "" : ` (what was bound by hand has to be bound again: ${bound.join(", ")})`;
  // A guest's hypervisor gives it other devices when it starts, not when it reboots.
  return needs.has("hypervisor")
    ? [step(`shut the guest down, and start it again${again}`, "poweroff")]
    : [step(`reboot${again}`, "reboot")];
}

/** Changes that the running kernel takes. */
function afterReboot(machine: Machine, needs: Needs): Step[] {
  const { distribution, platform } = machine;
  // Modules that were loaded by hand are gone after a reboot.
  const loaded = machine.hasVfioPci && machine.hasIommufd && !reboots(needs);
  const bind = needs.of("bind");
  const commands = bind.flatMap(({ bdf, driver }) => distribution.bindCommands(bdf, driver));
  const names = bind.map(
    ({ bdf, driver }) => `${bdf} (${driver === undefined ? "no driver" : `now: ${driver}`})`,
  );
  const which = platform.container ? ", if the host can do without" : "";
  const lasts = distribution.keepsBindings ? "" : ", until the next boot; driverctl makes it last";
  return [
    ...(loaded || !needs.has("modules", "bind")
      ? []
      : [
          step(
            "load vfio-pci, now and at each boot; iommufd comes with it",
            "modprobe vfio-pci",
            "echo vfio-pci > /etc/modules-load.d/vfio-pci.conf",
          ),
        ]),
    ...(bind.length === 0 ? [] : [step(`give vfio-pci ${names.join(", ")}${which}${lasts}`, ...commands)]),
  ];
}

/** Permissions that this process, or the one of the VMM, lacks. */
function forProcess({ platform }: Machine, needs: Needs): Step[] {
  const files = (kind: "container" | "access") => [...new Set(needs.of(kind).flatMap((need) => need.files))];
  const access = files("access");
  // Only the host knows the names of devices that are yet to be bound.
  const bound = platform.container ? needs.of("bind") : [];
  const container = [
    ...files("container"),
    ...bound.map(({ bdf }) => `/dev/vfio/devices/$(ls /sys/bus/pci/devices/${bdf}/vfio-dev)`),
  ];
  return [
    ...(container.length === 0
      ? []
      : [
          step(
            "start this container anew, with what it lacks (Kubernetes: by a device plugin)",
            // Names of a recorded tree may be anything, and commands are made of them.
            ...(files("container").every((file) => /^[\w/]+$/.test(file))
              ? [`docker run ${container.map((file) => `--device ${file}`).join(" ")} …`]
              : []),
          ),
        ]),
    ...(access.length === 0
      ? []
      : [
          step(
            `let the group kvm open ${access.join(" and ")}, and put your user into it; or run as root`,
            `printf '%s\\n' 'KERNEL=="iommu", GROUP="kvm", MODE="0660"' 'SUBSYSTEM=="vfio-dev", GROUP="kvm", MODE="0660"' > /etc/udev/rules.d/70-iommufd.rules`,
            "udevadm control --reload && udevadm trigger --subsystem-match=misc --subsystem-match=vfio-dev",
          ),
        ]),
    ...needs.texts("memlock").map((text) => step(text)),
  ];
}

/** The same steps, for somebody who has to go elsewhere for them. */
function onHost(container: boolean, steps: readonly Step[]): Step[] {
  if (!container) return [...steps];
  return steps.map(({ title, commands }) => ({
    title: `On the host: ${title.charAt(0).toLowerCase()}${title.slice(1)}`,
    commands,
  }));
}
