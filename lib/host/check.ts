/** The result of a look at one thing of a machine. */

/** How a check ended; "unknown" if the machine does not show it, or not to this user. */
export type CheckStatus = "pass" | "warn" | "fail" | "unknown";

/** The remedy for a check; {@link stepsOf} makes a plan of all of them. */
export type Need =
  /** Another machine: nothing that is done on this one helps. */
  | { readonly kind: "elsewhere"; readonly text: string }
  /** A decision, or what only people can arrange. */
  | { readonly kind: "decision"; readonly text: string }
  /** A setting in the firmware's setup. */
  | { readonly kind: "firmware"; readonly text: string }
  /** A thing that the hypervisor of this guest has to give it. */
  | { readonly kind: "hypervisor"; readonly text: string }
  /** Another kernel; a condition that it has to meet. */
  | { readonly kind: "kernel"; readonly text: string }
  /** Words of the kernel's command line. */
  | { readonly kind: "parameters"; readonly add: readonly string[]; readonly remove: readonly string[] }
  /** vfio-pci, and iommufd with it. */
  | { readonly kind: "modules" }
  /** A device for vfio-pci; its driver now, or undefined. */
  | { readonly kind: "bind"; readonly bdf: string; readonly driver: string | undefined }
  /** Files that this container has to be given. */
  | { readonly kind: "container"; readonly files: readonly string[] }
  /** Files that this user has to be allowed to open. */
  | { readonly kind: "access"; readonly files: readonly string[] }
  /** More memory that may be locked. */
  | { readonly kind: "memlock"; readonly text: string }
  /** A task for the VMM. */
  | { readonly kind: "vmm"; readonly text: string };

/** One check. */
export interface HostCheck {
  /** The subject of the check, in a word or two. */
  readonly name: string;
  readonly status: CheckStatus;
  /** The finding. */
  readonly found: string;
  /** The remedy; null if nothing is to be done. */
  readonly fix: string | null;
  /** The same for {@link stepsOf}; empty where nothing is to be done, and of what is unknown. */
  readonly needs: readonly Need[];
}

/** All is well. */
export function pass(name: string, found: string): HostCheck {
  return { name, status: "pass", found, fix: null, needs: [] };
}

/** The host works, and there is something to heed. Without needs, the fix is for people to decide. */
export function warn(name: string, found: string, fix: string, ...needs: readonly Need[]): HostCheck {
  return { name, status: "warn", found, fix, needs: orDecision(name, fix, needs) };
}

/** The finding stands in the way. Without needs, the fix is for people to decide. */
export function fail(name: string, found: string, fix: string, ...needs: readonly Need[]): HostCheck {
  return { name, status: "fail", found, fix, needs: orDecision(name, fix, needs) };
}

/** @param fix how to find out all the same */
export function unknown(name: string, why: string, fix: string): HostCheck {
  return { name, status: "unknown", found: `cannot be seen: ${why}`, fix, needs: [] };
}

function orDecision(name: string, fix: string, needs: readonly Need[]): readonly Need[] {
  return needs.length > 0 ? needs : [{ kind: "decision", text: `${name}: ${fix}` }];
}

/** A need in words, for the line of one check. */
export function wordsOf(need: Need): string {
  switch (need.kind) {
    case "parameters": {
      const [add, remove] = [need.add.join(" "), need.remove.join(" ")];
      if (remove === "") return add === "" ? "" : `put ${add} on the kernel command line`;
      if (add === "") return `take ${remove} off the kernel command line`;
      return `put ${add} on the kernel command line, in place of ${remove}`;
    }
    case "kernel":
      return `use a kernel ${need.text}`;
    case "elsewhere":
    case "firmware":
    case "decision":
    case "hypervisor":
    case "vmm":
    case "memlock":
      return need.text;
    case "bind":
      return `give ${need.bdf} to vfio-pci`;
    case "modules":
      return "load the modules: modprobe vfio-pci (iommufd comes with it)";
    case "container":
      return `give this container ${need.files.join(" and ")}`;
    case "access":
      return `give your user access to ${need.files.join(" and ")}`;
  }
}
