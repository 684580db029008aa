export declare const BDF: string;
export declare function bindKernelDriver(ids: readonly number[]): Promise<string[]>;
export declare function bindVfioDriver(): void;
