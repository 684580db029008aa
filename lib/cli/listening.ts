/** Where `iommufd serve` listens, and who can reach that. */

import { lookup } from "node:dns/promises";
import { once } from "node:events";
import { lstatSync, rmSync } from "node:fs";
import { type AddressInfo, BlockList, connect, type ListenOptions } from "node:net";
import { IommufdError, isSystemError } from "../errors.ts";
import type { ListenAddress } from "./listen-address.ts";

/** The first descriptor that systemd hands over (sd_listen_fds(3)). */
const FIRST_DESCRIPTOR = 3;

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8);
LOOPBACK.addAddress("::1", "ipv6");

/**
 * The address to listen on.
 *
 * @throws IommufdError ERR_IOMMUFD_INPUT: other hosts could connect, and nobody said that they may; or something other than a
 * socket has the path
 * @throws SystemError ENOTFOUND: the name of a host is not known
 */
export async function whereToListen(address: ListenAddress, allowRemote: boolean): Promise<ListenOptions> {
  if ("path" in address) {
    await removeStale(address.path);
    return address;
  }
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

/** Removes a Unix socket that nobody listens on: a server that was killed leaves one, and another could not start. */
async function removeStale(path: string): Promise<void> {
  const there = lstatSync(path, { throwIfNoEntry: false });
  if (there === undefined) return;
  if (!there.isSocket())
    throw new IommufdError(
      "ERR_IOMMUFD_INPUT",
      `--listen: ${path} is there, and is not a socket; remove it, or name another path`,
    );
  const socket = connect(path);
  try {
    await once(socket, "connect");
  } catch (error) {
    if (isSystemError(error, "ECONNREFUSED")) rmSync(path, { force: true });
  } finally {
    socket.destroy();
  }
}

function isLoopback(address: string, family: number): boolean {
  return LOOPBACK.check(address, family === 6 ? "ipv6" : "ipv4");
}
