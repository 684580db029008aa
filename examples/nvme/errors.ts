/** Errors: the statuses of commands, and the driver's own errors. */

/** Why a command or the driver failed. */
export type NvmeErrorCode =
  /** The controller completed the command with another status than success; `status` has it. */
  | "ERR_NVME_STATUS"
  /** The command was under way when the controller had to be reset. Whether it was done is not known. */
  | "ERR_NVME_RESET"
  /** The controller does not work, and a reset did not help; or it is not one that this driver can drive. */
  | "ERR_NVME_FAILED"
  /** The controller is closed, or about to be. */
  | "ERR_NVME_CLOSED";

/** The status of a completed command: Status Code Type and Status Code. */
export interface Status {
  readonly type: number;
  readonly code: number;
}

/** An error of the driver. */
export class NvmeError extends Error {
  readonly code: NvmeErrorCode;
  /** Status of the command, for ERR_NVME_STATUS. */
  readonly status: Status | undefined;

  constructor(code: NvmeErrorCode, message: string, status?: Status) {
    super(message);
    this.name = "NvmeError";
    this.code = code;
    this.status = status;
  }
}

/** Names of statuses by type and code, of those that a driver like this one meets. */
const NAMES: Readonly<Record<number, string>> = {
  1: "Invalid Command Opcode",
  2: "Invalid Field in Command",
  4: "Data Transfer Error",
  5: "Commands Aborted due to Power Loss Notification",
  6: "Internal Error",
  7: "Command Abort Requested",
  8: "Command Aborted due to SQ Deletion",
  11: "Invalid Namespace or Format",
  19: "PRP Offset Invalid",
  128: "LBA Out of Range",
  129: "Capacity Exceeded",
  130: "Namespace Not Ready",
  256: "Completion Queue Invalid",
  257: "Invalid Queue Identifier",
  258: "Invalid Queue Size",
  264: "Invalid Interrupt Vector",
  386: "Attempted Write to Read Only Range",
  640: "Write Fault",
  641: "Unrecovered Read Error",
  646: "Access Denied",
};

/** The error of a command that was completed with a status; `bits` as in the completion, without the phase tag. */
export function statusError(what: string, bits: number): NvmeError {
  const [type, code] = [(bits >> 8) & 7, bits & 0xff];
  const name = NAMES[(type << 8) | code] ?? "a status that this driver has no name for";
  return new NvmeError(
    "ERR_NVME_STATUS",
    `${what}: ${name} (status code type ${type}, status code 0x${code.toString(16)})`,
    { type, code },
  );
}
