/** The option that says where `iommufd serve` listens. */

import { InvalidArgumentError } from "commander";

/** An address and a port, or the path of a Unix socket. */
export type ListenAddress = { readonly host: string; readonly port: number } | { readonly path: string };

/** "127.0.0.1:9772", "[::1]:9772", "unix:/run/iommufd.sock" */
export function parseListen(value: string): ListenAddress {
  const [, path] = /^unix:(.+)$/.exec(value) ?? [];
  if (path !== undefined) return { path };
  const [, address, name, port] = /^(?:\[([0-9a-f:.]+)\]|([^:[\]]+)):(\d{1,5})$/i.exec(value) ?? [];
  const host = address ?? name;
  if (host === undefined || Number(port) > 65_535)
    throw new InvalidArgumentError(
      "It must be an address and a port, such as 127.0.0.1:9772 or [::1]:9772, or unix: and a path.",
    );
  return { host, port: Number(port) };
}
