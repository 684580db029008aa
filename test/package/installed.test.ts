/**
 * The package as its users get it: packed, installed in an empty project without a compiler, imported and required by
 * several versions of Node.js, on two processors, and where there is no Linux.
 */

import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PROJECT, run } from "../e2e/command.ts";

const work = mkdtempSync(join(tmpdir(), "iommufd-package-"));
const bin = join(work, "bin");
const source = join(work, "source");
const project = join(work, "project");
const installed = join(project, "node_modules/iommufd");
let tarball: string;
const { version } = JSON.parse(readFileSync(`${PROJECT}package.json`, "utf8")) as { version: string };

/** npm, in an environment with Node.js and a shell, and without anything that compiles. */
function npm(directory: string, ...args: string[]) {
  return run(directory, join(bin, "node"), [join(bin, "npm"), ...args], { env: { PATH: bin } });
}

beforeAll(() => {
  // A copy is packed: packing builds, and puts prebuilt addons beside the package, which other tests would load
  // meanwhile.
  mkdirSync(source);
  execFileSync(`${PROJECT}scripts/copy-tree.sh`, [source]);
  const packed = execFileSync("npm", ["pack", "--json", "--pack-destination", work], {
    cwd: source,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  const [{ filename }] = JSON.parse(packed.slice(packed.indexOf("[\n"))) as [{ filename: string }];
  tarball = join(work, filename);
  mkdirSync(bin);
  for (const command of ["node", "npm", "npx", "sh"])
    symlinkSync(execFileSync("which", [command], { encoding: "utf8" }).trim(), join(bin, command));
  mkdirSync(project);
  writeFileSync(join(project, "package.json"), '{ "name": "user", "private": true }\n');
});

afterAll(() => rmSync(work, { recursive: true, force: true }));

describe("packing", () => {
  it("leaves nothing behind that would be taken before a local build", () => {
    expect(existsSync(join(source, "prebuilds"))).toBe(false);
  });

  it("passes publint", () => {
    const { status, output } = run(PROJECT, "npx", ["publint", "run", tarball, "--strict"]);
    expect(output).toContain("All good!");
    expect(status).toBe(0);
  });

  it("has types for every way to resolve it", () => {
    // That require() gets an ES module is meant.
    const { status, output } = run(PROJECT, "npx", [
      ...["attw", tarball, "--ignore-rules", "cjs-resolves-to-esm"],
    ]);
    expect(output).toContain("No problems found");
    expect(status).toBe(0);
  });
});

describe("installed where there is no compiler", () => {
  beforeAll(() => {
    const { status, output } = npm(project, "install", tarball);
    expect(output).not.toMatch(/not built|npm error/);
    expect(status).toBe(0);
  });

  it.each([
    ["x64", 62],
    ["arm64", 183],
  ] as const)(
    "has an addon for %s that needs no later glibc than 2.32, and no later GCC than 11",
    (arch, machine) => {
      const file = readFileSync(join(installed, `prebuilds/linux-${arch}-glibc/iommufd.node`));
      expect(file.readUInt16LE(18), "e_machine").toBe(machine);
      const latest = (library: string) =>
        Math.max(
          ...[...file.toString("latin1").matchAll(new RegExp(`\\b${library}(\\d+)`, "g"))].map(([, minor]) =>
            Number(minor),
          ),
        );
      expect(latest("GLIBC_2\\.")).toBeLessThanOrEqual(32);
      expect(latest("GLIBCXX_3\\.4\\.")).toBeLessThanOrEqual(29);
    },
  );

  const nodes = [
    ...["20", "22", "24"].map((major) => ({ major, arch: "x64" })),
    { major: "22", arch: "arm64" },
  ];
  describe.each(nodes)("Node.js $major on $arch", ({ major, arch }) => {
    let node: string[];

    beforeAll(() => {
      const path = execFileSync(`${PROJECT}scripts/fetch-node.sh`, [major, arch], {
        encoding: "utf8",
      }).trim();
      node = arch === "arm64" ? ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", path] : [path];
    });

    const evaluate = (type: "module" | "commonjs", script: string) => {
      const [command = "", ...args] = node;
      return run(project, command, [...args, `--input-type=${type}`, "--eval", script]);
    };

    it("imports it; the kernel's backend has the addon that came with it", () => {
      const { output } = evaluate(
        "module",
        `import { Iommufd } from "iommufd";
         try { Iommufd.open({ backend: "kernel" }).close(); } catch (error) { console.log(error.message); }
         console.log(process.report.getReport().sharedObjects.find((path) => path.endsWith("iommufd.node")));`,
      );
      expect(output).not.toContain("addon");
      expect(output).toContain(join(installed, `prebuilds/linux-${arch}-glibc/iommufd.node`));
    });

    it("requires it", () => {
      const { output } = evaluate(
        "commonjs",
        `const { Iommufd } = require("iommufd");
         const iommufd = Iommufd.open({ profile: "sapphire-rapids" });
         console.log(process.version, iommufd.backend, iommufd.devices().join());
         iommufd.close();`,
      );
      expect(output).toMatch(new RegExp(`^v${major}\\.\\S+ software 0000:6a:01\\.0`, "m"));
    });

    it("runs the example of README.md", () => {
      const [command = "", ...args] = node;
      const example = join(installed, "examples/walk.js");
      const { status, output } = run(project, command, [...args, example], { env: { IOMMUFD_BACKEND: "" } });
      expect({ status, output }).toEqual({ status: 0, output: "software: 2 sections mapped, 7 skipped\n" });
    });

    it.runIf(major === "24")("closes at the end of a block", () => {
      const { output } = evaluate(
        "module",
        `import { Iommufd } from "iommufd";
         let opened;
         { using iommufd = Iommufd.open({ backend: "auto" }); opened = iommufd; }
         try { opened.allocIoas(); } catch (error) { console.log(error.code); }`,
      );
      expect(output).toBe("ERR_IOMMUFD_CLOSED\n");
    });

    it("runs the command", () => {
      const [command = "", ...args] = node;
      const { status, output } = run(project, command, [
        ...args,
        join(installed, "dist/bundled/iommufd.js"),
        "probe",
        ...["--profile", "sapphire-rapids", "--format", "nfd"],
      ]);
      expect(output).toContain("iommufd.erratum-772415=true");
      expect(status).toBe(0);
    });
  });

  it("is npx iommufd there", () => {
    const { status, output } = npm(project, "exec", "--offline", "--", "iommufd", "--version");
    expect(output).toContain(version);
    expect(status).toBe(0);
  });

  it.each(["tsc", "tsc6"])("type-checks with %s, down to its own types", (compiler) => {
    mkdirSync(join(project, "node_modules/@types"), { recursive: true });
    for (const types of ["@types/node", "undici-types"])
      cpSync(`${PROJECT}node_modules/${types}`, join(project, "node_modules", types), { recursive: true });
    const source = `import { Container, Iommufd, type Plan } from "iommufd";
export async function use(): Promise<Plan> {
  using iommufd = Iommufd.open({ backend: "software" });
  await using container = new Container(iommufd, { nesting: true });
  await container.addDevice(iommufd.openDevice("6a:01.0"));
  return await container.apply([], () => iommufd.allocMemory(4096n));
}
`;
    writeFileSync(join(project, "use.mts"), source);
    writeFileSync(join(project, "use.cts"), source);
    const { status, output } = run(project, `${PROJECT}node_modules/.bin/${compiler}`, [
      ...[
        "--strict",
        "--noEmit",
        "--module",
        "nodenext",
        "--target",
        "es2022",
        "--lib",
        "es2022,esnext.disposable",
      ],
      ...["--types", "node", "use.mts", "use.cts"],
    ]);
    expect(output).toBe("");
    expect(status).toBe(0);
  });
});

describe("installed where the addon that comes with it does not fit", () => {
  const elsewhere = join(work, "elsewhere");
  const copy = join(elsewhere, "node_modules/iommufd");

  beforeAll(() => {
    cpSync(project, elsewhere, { recursive: true, verbatimSymlinks: true });
    rmSync(join(copy, "prebuilds"), { recursive: true });
  });

  /** The answer of the kernel's backend, and the addon that it loaded. */
  const open = (before = "") =>
    run(elsewhere, process.execPath, [
      "--input-type=module",
      "--eval",
      `${before}
         const { Iommufd } = await import("iommufd");
         try { Iommufd.open({ backend: "kernel" }).close(); } catch (error) { console.log(error.message); }
         console.log(process.report.getReport().sharedObjects.find((path) => path.endsWith("iommufd.node")));
         console.log(Iommufd.open({ backend: "software" }).backend);`,
    ]).output;

  it("and nothing compiles: installing says so and goes on; the model works, and the kernel's backend says what to do", () => {
    const { status, output } = npm(elsewhere, "rebuild", "--foreground-scripts");
    expect(output).toContain("iommufd: the addon was not built");
    expect(status).toBe(0);
    expect(open()).toMatch(
      /^the kernel backend cannot be used: the addon does not load \(Could not locate the bindings file.*\); build it with: npm rebuild iommufd\nundefined\nsoftware\n$/,
    );
  });

  it("for it is damaged, or of another C library: both are told", () => {
    const path = join(copy, "prebuilds/linux-x64-glibc/iommufd.node");
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, "not ELF");
    expect(open()).toMatch(
      /the addon does not load \(that of the package: .*(invalid ELF header|file too short).*; none was built here\)/,
    );
  });

  it("and it was built here: that one is taken; with musl too", () => {
    const built = join(copy, "build/Release/iommufd.node");
    mkdirSync(dirname(built), { recursive: true });
    copyFileSync(`${PROJECT}build/Release/iommufd.node`, built);
    expect(open()).toContain(built);
    copyFileSync(
      join(installed, "prebuilds/linux-x64-glibc/iommufd.node"),
      join(copy, "prebuilds/linux-x64-glibc/iommufd.node"),
    );
    expect(open()).toContain(join(copy, "prebuilds/linux-x64-glibc/iommufd.node"));
    const musl = `import { createRequire } from "node:module";
      createRequire("${join(elsewhere, "x.js")}")("detect-libc").familySync = () => "musl";`;
    expect(open(musl)).toContain(built);
  });
});

describe.each(["darwin", "win32"])("on %s, as far as Linux can pretend", (platform) => {
  const pretend = join(work, `${platform}.cjs`);
  const env = { NODE_OPTIONS: `--require ${pretend}` };

  beforeAll(() =>
    writeFileSync(pretend, `Object.defineProperty(process, "platform", { value: "${platform}" });\n`),
  );

  it("installing builds nothing and says so", () => {
    const { status, output } = run(project, process.execPath, [join(installed, "scripts/install.js")], {
      env,
    });
    expect(output).toBe(
      `iommufd: no addon on ${platform}, only Linux has /dev/iommu; the software backend works\n`,
    );
    expect(status).toBe(0);
  });

  it("the model answers, and the kernel's backend says why it cannot", () => {
    const cli = (...args: string[]) =>
      run(project, process.execPath, [join(installed, "dist/bundled/iommufd.js"), ...args], { env });
    const probed = cli("probe", "--backend", "auto");
    expect(probed.output.split(";")[0]).toBe(
      `Asked     software backend (this is ${platform}, and only Linux has iommufd`,
    );
    expect(probed.status).toBe(0);
    const refused = cli("probe");
    expect(refused).toMatchObject({
      status: 1,
      output: expect.stringMatching(/--profile.*--backend auto\)\n$/),
    });
    expect(cli("doctor")).toEqual({
      status: 1,
      output: `iommufd: this is ${platform}, and only Linux has iommufd; doctor looks at a recorded tree of another machine (--root)\n`,
    });
    expect(cli("probe", "--backend", "kernel")).toEqual({
      status: 1,
      output: `iommufd: the kernel backend cannot be used: this is ${platform}, and only Linux has iommufd\n`,
    });
  });
});
