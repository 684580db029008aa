/**
 * Chooses a backend, and says which and why.
 */

import { checkOptions, knownOptions } from "../arguments.ts";
import { IommufdError, invalidType, isSystemError, outOfRange } from "../errors.ts";
import type { Backend } from "./backend.ts";
import { BACKEND_CHOICES, BACKEND_VARIABLE, type BackendChoice, DEFAULT_PROFILE } from "./choice.ts";
import { KernelBackend } from "./kernel/kernel-backend.ts";
import { loadProfile, type Profile } from "./software/profile.ts";
import { SoftwareBackend } from "./software/software-backend.ts";
import { SoftwareMachine } from "./software-machine.ts";
import { wrap } from "./wrapper.ts";

/** Which backend, and for the software one, of which machine. */
export interface BackendOptions {
  /** Default: `software` with a profile, else what the environment says (IOMMUFD_BACKEND), else `kernel`. */
  backend?: BackendChoice | undefined;
  /** The machine that the software backend models: the name of a shipped profile, or a profile. Default "sapphire-rapids". */
  profile?: string | Profile | undefined;
}

const BACKEND_OPTIONS = knownOptions<BackendOptions>({ backend: "other", profile: "other" });

/** A chosen backend. */
export interface SelectedBackend {
  /** To open iommufds on, {@link Iommufd.open}. */
  backend: Backend;
  /** Why this one: "/dev/iommu opens", "no /dev/iommu (ENOENT); model of sapphire-rapids". */
  reason: string;
}

/**
 * Chooses a backend: the kernel, unless a model of it is asked for, by `backend`, by `profile`, or where neither is given by
 * IOMMUFD_BACKEND in the environment.
 *
 * @throws IommufdError ERR_IOMMUFD_NO_KERNEL_BACKEND: there is no kernel to ask, and no model was asked for. The
 * message says whether the addon or /dev/iommu is missing, or access to it; `cause` is the error of the loader or of
 * open()
 * @throws IommufdError ERR_IOMMUFD_INPUT: the profile cannot be read, or IOMMUFD_BACKEND does not name a backend
 */
export function selectBackend(options: BackendOptions = {}): SelectedBackend {
  const { profile } = checkOptions(options, BACKEND_OPTIONS);
  const { choice, asker } = chooseBackend(options);
  if (choice === "kernel" && profile !== undefined) {
    throw new IommufdError(
      "ERR_IOMMUFD_INPUT",
      "a profile is of a modelled machine: it goes with the software backend, not with kernel",
    );
  }
  if (choice === "software" || profile !== undefined) return software(profile, asker);

  const kernel = openKernel();
  if (kernel instanceof KernelBackend) {
    return { backend: wrap(kernel), reason: choice === "kernel" ? asker : OPENS };
  }
  if (choice === "auto") return software(profile, kernel.missing);
  const hint =
    options.backend === "kernel"
      ? ""
      : "; a model answers only where one is asked for: with a profile (--profile), or backend auto (--backend auto)";
  throw new IommufdError(
    "ERR_IOMMUFD_NO_KERNEL_BACKEND",
    `the kernel backend cannot be used: ${kernel.missing}${hint}`,
    { cause: kernel.cause },
  );
}

/** Why the kernel answers where nobody insists on it. */
const OPENS = "/dev/iommu opens";

/** Which backend is asked for, and by whom, in words. */
export function chooseBackend({ backend, profile }: BackendOptions): {
  choice: BackendChoice;
  asker: string;
} {
  if (backend !== undefined) {
    if (!BACKEND_CHOICES.includes(backend))
      throw outOfRange("backend", '"auto", "kernel" or "software"', backend);
    return { choice: backend, asker: "asked for" };
  }
  if (profile !== undefined) return { choice: "software", asker: "asked for" };
  // As of other variables, an empty one is one that is not set.
  const value = process.env[BACKEND_VARIABLE] || undefined;
  if (value === undefined) return { choice: "kernel", asker: OPENS };
  const choice = BACKEND_CHOICES.find((each) => each === value);
  if (choice !== undefined) return { choice, asker: `${BACKEND_VARIABLE}=${value}` };
  throw new IommufdError(
    "ERR_IOMMUFD_INPUT",
    `${BACKEND_VARIABLE} in the environment must be auto, kernel or software, it is ${JSON.stringify(value)}`,
  );
}

/** The kernel backend if /dev/iommu opens and the addon loads, else what is missing. */
function openKernel(): KernelBackend | { missing: string; cause: unknown } {
  const { platform } = process;
  if (platform !== "linux")
    return { missing: `this is ${platform}, and only Linux has iommufd`, cause: undefined };
  let backend: KernelBackend;
  try {
    backend = new KernelBackend();
  } catch (error) {
    const [reason] = (error as Error).message.split("\n");
    return {
      missing: `the addon does not load (${reason}); build it with: npm rebuild iommufd`,
      cause: error,
    };
  }
  try {
    backend.openIommufd().close();
    return backend;
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return { missing: OPEN_HINTS[error.code] ?? error.message, cause: error };
  }
}

/** The meaning of errors of opening /dev/iommu. */
const OPEN_HINTS: Readonly<Record<string, string>> = {
  ENOENT:
    "no /dev/iommu: this kernel has no iommufd (CONFIG_IOMMUFD), or its module is not loaded (modprobe iommufd)",
  EACCES: "no permission to open /dev/iommu: run as root, or give your user access to it",
  ENODEV: "/dev/iommu has no driver: its module is not loaded (modprobe iommufd)",
};

/**
 * A modelled machine for tests: open iommufds on it with {@link Iommufd.open}, let its devices do DMA, make calls fail.
 *
 * ```ts
 * const host = softwareMachine("sapphire-rapids");
 * using iommufd = Iommufd.open(host);
 * host.failNext("IOMMU_IOAS_MAP", "ENOMEM");
 * ```
 *
 * @param profile the name of a shipped profile, the path of one, or a profile
 * @throws IommufdError ERR_IOMMUFD_INPUT: the profile cannot be read
 */
export function softwareMachine(profile: string | Profile = DEFAULT_PROFILE): SoftwareMachine {
  return software(profile, "asked for");
}

function software(profile: string | Profile = DEFAULT_PROFILE, why: string): SoftwareMachine {
  const machine = typeof profile === "string" ? loadProfile(profile) : checkRead(profile);
  return new SoftwareMachine(new SoftwareBackend(machine), `${why}; model of ${machine.name}`);
}

/** A profile as JSON has strings where one that was read has bigints: it would fail somewhere in the middle of the work. */
function checkRead(profile: Profile): Profile {
  const { iommus, devices } = profile ?? {};
  const isRead =
    Array.isArray(devices) &&
    Object.values(iommus ?? {}).every(({ domains }) => typeof domains?.plain?.aperture?.start === "bigint");
  if (!isRead) throw invalidType("profile", "a name, a path, or what parseProfile() returns", profile);
  return profile;
}
