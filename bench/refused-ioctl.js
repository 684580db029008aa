// `npm run bench -- refused-ioctl`, on any Linux: what one crossing costs. An ioctl that /dev/null refuses, per call, against C.
import { loadAddon } from "../dist/backend/kernel/addon.js";
import { cLoop, compare, compile, time } from "./compare.js";

const COUNT = 1_000_000;

compile();
const file = /** @type {import("../dist/backend/kernel/addon.js").NativeIommufdFile} */ (
  loadAddon().openIommufd("/dev/null")
);
await compare(
  "refused ioctl",
  () =>
    time(COUNT, () => {
      for (let i = 0; i < COUNT; i++) file.destroy(1);
    }),
  () => cLoop("refused", COUNT),
);
