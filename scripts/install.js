// Runs after `npm install`: builds the addon where none that comes with the package fits, and where that is possible.
//
// Installing must succeed everywhere, because the software backend needs no addon. Where the addon cannot be
// built, this says why; asking for the kernel backend later says so again.
import { spawnSync } from "node:child_process";
import process from "node:process";

if (process.platform !== "linux") {
  console.log(
    `iommufd: no addon on ${process.platform}, only Linux has /dev/iommu; the software backend works`,
  );
} else if (!(await prebuiltLoads())) {
  const { status, error } = spawnSync("node-gyp", ["rebuild"], { stdio: "inherit" });
  if (status !== 0) {
    console.warn(
      `iommufd: the addon was not built (${error ? error.message : `node-gyp exited with ${status}`}); ` +
        "the software backend works. For the kernel backend install a C++17 compiler, make and Python 3, " +
        "then run `npm rebuild iommufd`",
    );
  }
}

/** A checkout has no dist yet, and nothing prebuilt either. */
async function prebuiltLoads() {
  try {
    const bundled = "../dist/bundled/prebuilt.js";
    const { loadPrebuilt } = await import(bundled);
    return loadPrebuilt() !== undefined;
  } catch (error) {
    if (error.code !== "ERR_MODULE_NOT_FOUND")
      console.warn(`iommufd: the addon of the package does not load here (${error.message}); building one`);
    return false;
  }
}
