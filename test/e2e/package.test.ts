/** The content of the published package, and its dependencies. */

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { PROJECT } from "./command.ts";

const json = (path: string) => JSON.parse(readFileSync(`${PROJECT}${path}`, "utf8"));

describe("the package", () => {
  it("holds what it needs, and nothing else", () => {
    const { stdout } = spawnSync("npm", ["pack", "--dry-run", "--ignore-scripts", "--json"], {
      cwd: PROJECT,
      encoding: "utf8",
    });
    const [{ files }] = JSON.parse(stdout) as [{ files: { path: string; mode: number }[] }];
    const paths = files.map(({ path }) => path);
    const isMeant = [
      /^(package\.json|binding\.gyp|LICENSE|(README|CHANGELOG|CONTRIBUTING|SECURITY)\.md|scripts\/install\.js)$/,
      /^dist\/(iommufd\.1|[a-z0-9/-]+\.d\.ts|(bundled|examples\/nvme)\/[a-z0-9-]+\.js(\.map)?)$/,
      /^native\/(uapi\/)?(\w+\.(cc|h)|README\.md)$/,
      /^(assets\/(page\.(css|js)|README\.md)|profiles\/([a-z0-9.-]+\.json|README\.md))$/,
      /^(docs\/[\w-]+\.md|docs\/images\/(README\.md|[\w-]+\.(png|txt))|examples\/((fleet|nvme)\/)?[\w.-]+\.(js|ts|mtree|md|yaml|yml|service|socket|timer))$/,
    ];
    expect(paths.filter((path) => !isMeant.some((pattern) => pattern.test(path)))).toEqual([]);
    for (const needed of [
      ...[
        "dist/bundled/index.js",
        "dist/index.d.ts",
        "dist/bundled/iommufd.js",
        "dist/iommufd.1",
        "binding.gyp",
      ],
      ...["native/addon.cc", "native/uapi/iommufd.h", "profiles/sapphire-rapids.json", "assets/page.js"],
      ...["examples/nvme/cli.js", "dist/examples/nvme/main.js"],
    ])
      expect(paths).toContain(needed);
    const readme = readFileSync(`${PROJECT}README.md`, "utf8");
    for (const [, linked = ""] of readme.matchAll(/\]\((?!https?:)([^)#]+)/g))
      expect(paths).toContain(linked);
  });

  it("depends on little, all of it pinned by the lock file and under licences like its own", () => {
    const { packages } = json("package-lock.json") as {
      packages: Record<
        string,
        { dev?: boolean; license?: string; integrity?: string; hasInstallScript?: boolean }
      >;
    };
    const shipped = Object.entries(packages).filter(([path, { dev }]) => path !== "" && !dev);
    expect(shipped.length).toBeLessThan(25);
    for (const [path, { license, integrity, hasInstallScript }] of shipped) {
      expect(license, path).toMatch(/^(MIT|ISC|BSD-[23]-Clause|Apache-2\.0|0BSD)$/);
      expect(integrity, path).toMatch(/^sha512-/);
      expect(hasInstallScript, path).toBeUndefined();
    }
    // Build tools are not shipped, and may have other licences too.
    for (const [path, { license }] of Object.entries(packages))
      if (path !== "")
        expect(license, path).toMatch(
          /^(MIT|ISC|BSD-[23]-Clause|Apache-2\.0|0BSD|MPL-2\.0|CC-BY-4\.0|BlueOak-1\.0\.0|Python-2\.0|.*(MIT|CC0-1\.0).*)$/,
        );
  });

  it("says the version that the changes say", () => {
    const { version } = json("package.json");
    const [, latest] = /^## (\d+\.\d+\.\d+)/m.exec(readFileSync(`${PROJECT}CHANGELOG.md`, "utf8")) ?? [];
    expect(latest).toBe(version);
    const lock = json("package-lock.json");
    expect([lock.version, lock.packages[""].version]).toEqual([version, version]);
  });

  it("names no address that there is not", () => {
    const { repository, homepage, bugs, funding } = json("package.json");
    expect([repository, homepage, bugs, funding]).toEqual([undefined, undefined, undefined, undefined]);
  });
});
