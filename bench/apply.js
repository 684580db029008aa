// A container applies thousands of sections, beside the same mappings in one call of mapManySync(). On the kernel in the test
// machine; elsewhere on the model.
import { existsSync } from "node:fs";
import { Container, Iommufd } from "../dist/index.js";
import { compare, time } from "./compare.js";

const COUNT = 10_000;
const PAGE = 4096n;
const APART = 2n * PAGE;
const WARM_UP_BLOCKS = 10;

const iommufd = existsSync("/dev/iommu")
  ? Iommufd.open({ backend: "kernel" })
  : Iommufd.open({ profile: "sapphire-rapids" });
const [name] = iommufd.devices();
const memory = iommufd.allocMemory(BigInt(COUNT) * APART);
/** @type {import("../dist/index.js").MemorySection[]} */
const sections = Array.from({ length: COUNT }, (_, index) => {
  const start = BigInt(index) * APART;
  return { start, size: PAGE, region: "ram", offsetInRegion: start, type: "ram", readonly: false };
});
const column = (value) => BigUint64Array.from({ length: COUNT }, (_, index) => value(BigInt(index)));
const starts = column((index) => index * APART);
const ranges = { iovas: starts, offsets: starts, lengths: column(() => PAGE) };

async function apply() {
  const device = iommufd.openDevice(name);
  const container = new Container(iommufd);
  await container.addDevice(device);
  const nanoseconds = await time(COUNT, () => container.apply(sections, () => memory));
  await container.close();
  device.close();
  return nanoseconds;
}

async function mapMany() {
  const device = iommufd.openDevice(name);
  const container = new Container(iommufd);
  await container.addDevice(device);
  const nanoseconds = await time(COUNT, () => container.ioas.mapManySync(memory, ranges));
  await container.close();
  device.close();
  return nanoseconds;
}

// In the test machine a block takes a second at first: V8 compiles code late on an emulated processor.
for (let block = 0; block < WARM_UP_BLOCKS; block++) {
  await apply();
  await mapMany();
}
await compare(`\`Container.apply\` of 10,000 sections, each (${iommufd.backend})`, apply, mapMany, {
  rival: "`mapManySync`",
  blocks: 20,
  aim: 1.3,
});
memory.close();
iommufd.close();
