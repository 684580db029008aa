/** Where `iommufd serve` listens, and who can reach that. */

import { lookup } from "node:dns/promises";
import { type AddressInfo, BlockList, type ListenOptions } from "node:net";
import { IommufdError } from "../errors.ts";
import type { ListenAddress } from "./listen-address.ts";

/** The first descriptor that systemd hands over (sd_listen_fds(3)). */
const FIRST_DESCRIPTOR = 3;

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8);
LOOPBACK.addAddress("::1", "ipv6");

/**
 * The address to listen on.
 *
 * @throws IommufdError ERR_IOMMUFD_INPUT: other hosts could connect, and nobody said that they may
 * @throws SystemError ENOTFOUND: the name of a host is not known
 */
export async function whereToListen(address: ListenAddress, allowRemote: boolean): Promise<ListenOptions> {
  if ("path" in address) return address;
  // The address that was looked at is the one that is listened on, whatever the name leads to later.
  const { address: host, family } = await lookup(address.host);
  if (!allowRemote && !isLoopback(host, family))
    throw new IommufdError(
      "ERR_IOMMUFD_INPUT",
      `--listen: ${host} can be reached by other hosts; say --allow-remote if these may read the metrics, or listen on ` +
        "127.0.0.1, [::1] or a Unix socket (unix:PATH)",
    );
  return { host, port: address.port };
}

/** Whether other hosts can connect to a server. */
export function isRemote(address: AddressInfo | string | undefined): boolean {
  return typeof address === "object" && !isLoopback(address.address, address.family === "IPv6" ? 6 : 4);
}

/** How people write it: "http://127.0.0.1:9772/metrics", "unix:/run/iommufd.sock". */
export function formatListening(address: AddressInfo | string | undefined): string {
  if (address === undefined) return "the Unix socket that systemd handed over";
  if (typeof address === "string") return `unix:${address}`;
  const { address: host, port, family } = address;
  return `http://${family === "IPv6" ? `[${host}]` : host}:${port}/metrics`;
}

/**
 * The socket that systemd hands over (socket activation), as a descriptor; undefined where there is none. The variables
 * that say so are removed from the environment.
 *
 * @throws IommufdError ERR_IOMMUFD_INPUT: there are several
 */
export function takeSystemdSocket(environment: NodeJS.ProcessEnv): { fd: number } | undefined {
  const { LISTEN_PID: pid, LISTEN_FDS: count } = environment;
  if (pid !== String(process.pid)) return undefined;
  for (const name of ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]) delete environment[name];
  if (count !== "1")
    throw new IommufdError(
      "ERR_IOMMUFD_INPUT",
      `systemd hands over ${count ?? "no"} sockets, and one can be served; write one Listen… line in the .socket unit`,
    );
  return { fd: FIRST_DESCRIPTOR };
}

function isLoopback(address: string, family: number): boolean {
  return LOOPBACK.check(address, family === 6 ? "ipv6" : "ipv4");
}
