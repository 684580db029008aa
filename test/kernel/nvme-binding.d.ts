/** Types of nvme-binding.js, which a process runs as it is. */

export declare const BDF: string;
export declare function bindKernelDriver(ids: readonly number[]): Promise<string[]>;
export declare function bindVfioDriver(): void;
