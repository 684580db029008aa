/**
 * Opens an iommufd for each program that connects to a unix socket, and passes it on: all that KubeVirt's device plugin
 * for iommufd does for a pod that may not open /dev/iommu by itself.
 *
 * Pinned memory is charged to whoever uses it (IOMMU_OPTION_RLIMIT_MODE), which takes CAP_SYS_RESOURCE: hence a plugin.
 */

import process from "node:process";
import { Iommufd, UnixServer } from "iommufd";

using server = UnixServer.listen(process.argv[2] ?? "/var/run/iommufd.sock");
process.once("SIGTERM", () => server.close());

for await (const client of server) {
  using iommufd = Iommufd.open({ backend: "kernel" });
  iommufd.rlimitMode = "process";
  await client.send("iommufd", [iommufd.fd]).catch((error) => console.error(error.message));
  client.close();
}
