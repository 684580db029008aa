/** From a device to a decision to DMA mappings, on the kernel where there is one, else on a model of one. */

import { readFileSync } from "node:fs";
import { Container, Iommufd, readMemoryMap } from "iommufd";

const text = readFileSync(new URL("guest-with-nesting.mtree", import.meta.url), "utf8");
const sections = readMemoryMap(text, "memory", "guest-with-nesting.mtree");

using iommufd = Iommufd.open({ backend: "auto" });
const [bdf = "none"] = iommufd.devices();
await using container = new Container(iommufd, { nesting: true });
await container.addDevice(iommufd.openDevice(bdf));
const memory = iommufd.allocMemory(256n << 20n);
const plan = await container.apply(sections, () => memory);
console.log(`${iommufd.backend}: ${plan.map.length} sections mapped, ${plan.skipped.length} skipped`);
