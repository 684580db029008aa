/** From a device to a decision to DMA mappings, on the kernel where there is one, else on a model of it. */

import { readFileSync } from "node:fs";
import { Container, Iommufd, readMemoryMap } from "iommufd";

const file = new URL("guest-with-nesting.mtree", import.meta.url);
const sections = readMemoryMap(readFileSync(file, "utf8"), { source: file.pathname });
const iommufd = Iommufd.open({ backend: "auto" });
try {
  const container = new Container(iommufd, { nesting: true });
  await container.addDevice(iommufd.openDevice(iommufd.devices()[0]));
  const memory = iommufd.allocMemory(256n << 20n);
  const plan = await container.apply(sections, () => memory);
  console.log(`${iommufd.backend}: ${plan.map.length} sections mapped, ${plan.skipped.length} skipped`);
} finally {
  iommufd.close();
}
