/** The choice of a backend, apart from its consequences: help lists it without loading any backend. */

/** `auto` takes the kernel if it is there, else the model; `kernel` never falls back; `software` never touches the machine. */
export type BackendChoice = "auto" | "kernel" | "software";

/** The values of {@link BackendChoice}. */
export const BACKEND_CHOICES: readonly BackendChoice[] = ["auto", "kernel", "software"];

/** The variable of the environment that says which backend, where nothing else does. */
export const BACKEND_VARIABLE = "IOMMUFD_BACKEND";

/** The profile that the software backend takes where none is named. */
export const DEFAULT_PROFILE = "sapphire-rapids";
