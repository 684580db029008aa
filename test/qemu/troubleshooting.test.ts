/** The quotes of QEMU and libvirt in docs/troubleshooting.md are in their programs, and `doctor` sees what QEMUs do. */

import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { installedQemus } from "../../lib/host/qemu.ts";
import { PROJECT } from "../e2e/command.ts";
import { QEMUS } from "./running-qemu.ts";

const document = readFileSync(`${PROJECT}docs/troubleshooting.md`, "utf8");
const LIBVIRT = "/usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_qemu.so";

/** The trees that QEMUs are unpacked in (scripts/fetch-test-qemu.sh), and what doctor is to say of each. */
const TREES = [
  { root: "/", major: 7, nesting: "never-nests" },
  { root: `${PROJECT}build/test/qemu`, major: 10, nesting: "never-nests" },
  { root: `${PROJECT}build/test/qemu-latest`, major: 11, nesting: "leaves-out" },
];

describe.each(TREES)("QEMU $major", ({ root, major, nesting }) => {
  const qemu = QEMUS.find(({ version }) => Number.parseInt(version, 10) === major);

  it.skipIf(qemu === undefined)("is seen for what it is, without being run", () => {
    const [found] = installedQemus(root);
    expect(found).toMatchObject({ path: "/usr/bin/qemu-system-x86_64", nesting });
    expect(found?.version).toMatch(new RegExp(`^${qemu?.version} \\(Debian `));
  });

  it.skipIf(qemu === undefined || major < 10)("says what is quoted of it", () => {
    const program = readFileSync(`${root}/usr/bin/qemu-system-x86_64`);
    // Each piece stands in the document as the program's format, filled in.
    const pieces: [string, RegExp][] = [
      ["vfio %s: \0", /: vfio 0000:6a:01\.0:\n/],
      ["memory listener initialization failed: \0", /memory listener initialization failed: /],
      ["Region %s: \0", /Region pc\.bios:\n/],
      [
        "vfio_container_dma_map(%p, 0x%lx, 0x%lx, %p) = %d (%s)\0",
        /vfio_container_dma_map\(0x[0-9a-f]+, 0x[0-9a-f]+, 0x[0-9a-f]+, 0x[0-9a-f]+\) = -22 \(Invalid argument\)/,
      ],
    ];
    for (const [format, words] of pieces) {
      expect(program.includes(`\0${format}`), format).toBe(true);
      expect(document).toMatch(words);
    }
    const uncompatible = "host device is uncompatible with stage-1 translation";
    expect(program.includes(uncompatible)).toBe(major === 10);
    expect(document).toContain(`"${uncompatible}" (QEMU 10.0)`);
  });
});

it.skipIf(!existsSync(LIBVIRT))("libvirt says what is quoted of it", () => {
  const words = "unexpectedly closed the monitor";
  expect(readFileSync(LIBVIRT).includes(words)).toBe(true);
  expect(document).toContain(`QEMU ${words} (vm='NAME')`);
});
