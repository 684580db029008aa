// `npm run bench -- check`, in the test machine: what `iommufd check` does with 500 mappings of 2 MiB, beside the ioctls that it
// makes, in a loop on one thread.
import { preflight } from "../dist/container/preflight.js";
import { Iommufd } from "../dist/index.js";
import { compare, time } from "./compare.js";

const COUNT = 500;
const SIZE = 2n << 20n;
/** @type {import("../dist/index.js").MemorySection[]} */
const sections = Array.from({ length: COUNT }, (_, index) => {
  const start = BigInt(index) * 2n * SIZE;
  return { start, size: SIZE, region: `ram${index}`, offsetInRegion: 0n, type: "ram", readonly: false };
});

/** Runs with a device that is open and attached to nothing. */
async function withDevice(work) {
  const iommufd = Iommufd.open({ backend: "kernel" });
  try {
    return await work(iommufd, iommufd.openDevice(iommufd.devices()[0]));
  } finally {
    iommufd.close();
  }
}

const check = () =>
  withDevice((iommufd, device) =>
    time(COUNT, async () => {
      const { obstacles } = await preflight(iommufd, [device], sections);
      if (obstacles.length > 0) throw new Error(`refused: ${obstacles[0]?.code}`);
    }),
  );

const ioctls = () =>
  withDevice((iommufd, device) =>
    time(COUNT, () => {
      const ioas = iommufd.allocIoas();
      device.hwInfo();
      device.attachSync(ioas.allocHwptSync(device));
      const memory = iommufd.allocMemory(SIZE);
      const source = iommufd.allocIoas();
      source.mapSync(memory, { iova: 0n });
      for (const { start } of sections)
        ioas.copyFromSync(source, { sourceIova: 0n, length: SIZE, iova: start });
      ioas.close();
      source.close();
      memory.close();
    }),
  );

await compare(`check of ${COUNT} mappings of 2 MiB, each`, check, ioctls, {
  rival: "its ioctls",
  blocks: 10,
  aim: 1.1,
});
