/** Types of nvme-writes.js, which a process runs as it is. */

export const LENGTH: number;
export function placesOf(seed: string, round: number, count: number, places: number): number[];
export function contentOf(seed: string, round: number, place: number): Buffer;
