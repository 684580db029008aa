// The disks of the machine "nvme": the host makes them with random content, and looks at them again when the machine is gone.
//
// In the machine's /run/out: nvme-before.json has the content, namespace by namespace. A test that changes the disks
// writes nvme-after.json: the content that the kernel's own driver read afterwards.
import { createHash, randomFillSync } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Namespaces of the controller: length in bytes, and size of a block. */
const NAMESPACES = [
  { id: 1, length: 96 << 20, blockSize: 512 },
  { id: 2, length: 8 << 20, blockSize: 4096 },
];

const path = (out, id) => join(out, `nvme-${id}.img`);
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

/** Makes the disks. Returns the arguments with which QEMU has them as namespaces of one controller. */
export function makeNvmeDisks(out) {
  const before = NAMESPACES.map(({ id, length, blockSize }) => {
    const bytes = randomFillSync(Buffer.alloc(length));
    writeFileSync(path(out, id), bytes);
    return { id, length, blockSize, sha256: sha256(bytes) };
  });
  writeFileSync(join(out, "nvme-before.json"), JSON.stringify(before));
  return [
    ...["-device", "nvme,id=nvme,serial=iommufd-test"],
    ...NAMESPACES.flatMap(({ id, blockSize }) => [
      ...["-drive", `file=${path(out, id)},if=none,id=disk${id},format=raw`],
      ...[
        "-device",
        `nvme-ns,drive=disk${id},bus=nvme,nsid=${id},logical_block_size=${blockSize},physical_block_size=${blockSize}`,
      ],
    ]),
  ];
}

/** The errors on the disks now: they must be as the kernel's driver read them last, or as they were made. */
export function checkNvmeDisks(out) {
  const after = join(out, "nvme-after.json");
  const expected = JSON.parse(
    readFileSync(existsSync(after) ? after : join(out, "nvme-before.json"), "utf8"),
  );
  return expected
    .filter((disk) => sha256(readFileSync(path(out, disk.id))) !== disk.sha256)
    .map(({ id }) => `the disk of namespace ${id} is not what the kernel's driver read`);
}
