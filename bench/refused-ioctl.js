// `npm run bench -- refused-ioctl`, on any Linux: what one crossing costs. An ioctl that /dev/null refuses, per call, against C and
// against koffi, which calls ioctl() itself.
import { loadAddon } from "../dist/backend/kernel/addon.js";
import { compare, loadC, loadLibc, time } from "./compare.js";

const COUNT = 2000;
const REQUEST = 0x3b80; // IOMMU_DESTROY

const file = /** @type {import("../dist/backend/kernel/addon.js").NativeIommufdFile} */ (
  loadAddon().openIommufd("/dev/null")
);
const c = loadC();
const { ioctl } = loadLibc();
const fd = file.fd();
const { destroy } = file.bound();
const ours = () =>
  time(COUNT, () => {
    for (let i = 0; i < COUNT; i++) destroy(1);
  });
const command = new Uint32Array([8, 1]);

await compare("refused ioctl", ours, () => c.refused(fd, COUNT), { blocks: 300, aim: 1.7 });
await compare("refused ioctl", ours, () => c.refusedAlone(fd, COUNT), {
  rival: "C, one thread",
  blocks: 300,
  aim: 1.7,
});
await compare(
  "refused ioctl",
  ours,
  () =>
    time(COUNT, () => {
      for (let i = 0; i < COUNT; i++) ioctl(fd, REQUEST, command);
    }),
  { rival: "koffi", blocks: 300, aim: 1 },
);
