// Makes dist/bundled, what is shipped, of what the compiler made of lib. A file costs a program that starts more than what is in
// it, so there are few, each for what is used together. Nothing is in two of them: the command and the library share their parts,
// and a process has one copy of each. Packages stay outside.

import { readFileSync } from "node:fs";
import { defineConfig } from "rolldown";

const { dependencies } = JSON.parse(readFileSync(new URL("package.json", import.meta.url), "utf8"));

/** Gives the bundler the compiler's maps, so that those of the bundle lead to lib. */
const withMaps = {
  name: "with-maps",
  load: {
    filter: { id: /\/dist\/.*\.js$/ },
    handler: (id) => ({ code: readFileSync(id, "utf8"), map: readFileSync(`${id}.map`, "utf8") }),
  },
};

/** Modules that even `--help` needs, or several commands without the rest of a folder, and that need no others. */
const BASE =
  /\/dist\/((?!index)[^/]+|hw-info\/[^/]+|report\/(text|vtd-report)|host\/(dmesg|memlock|page-size|readable)|backend\/(choice|software\/shipped-profiles|kernel\/(device-use|vfio-sysfs))|cli\/(output|exit|input))\.js$/;

export default defineConfig({
  input: {
    index: "dist/index.js",
    iommufd: "dist/cli/main.js",
    // For scripts/install.js.
    prebuilt: "dist/backend/kernel/prebuilt.js",
  },
  platform: "node",
  external: [/^node:/, ...Object.keys(dependencies)],
  plugins: [withMaps],
  logLevel: "warn",
  output: {
    dir: "dist/bundled",
    sourcemap: true,
    chunkFileNames: "[name].js",
    cleanDir: true,
    // Names are as they are in lib, for who reads a stack trace.
    minify: false,
    codeSplitting: {
      groups: [
        { name: "base", test: BASE },
        {
          name: "library",
          test: /\/dist\/(backend|iommufd|container|memory-map(?!\/(qmp-client|virsh-monitor)))\//,
        },
        { name: "host", test: /\/dist\/(host\/|report\/doctor-report)/ },
        { name: "shared", test: /\/dist\/(cli|report(?!\/page)|host|demo)\//, minShareCount: 2 },
        // After what it shares with the texts, so that these do without it, and without node:crypto.
        { name: "pages", test: /\/dist\/report\/page\// },
      ],
    },
  },
});
