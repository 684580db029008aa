/**
 * Hands an iommufd and a device to QEMU, which then need no permissions of their own: one when it starts, one over QMP
 * while it runs. It takes a QEMU that knows `-object iommufd,fd=` (9.0 and later).
 *
 * Run it where two devices are bound to vfio-pci, with the path of QEMU: the kernel lane does.
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { Iommufd, UnixSocket } from "iommufd";

const qemu = process.argv[2] ?? "qemu-system-x86_64";
using manager = Iommufd.open({ backend: "kernel" });
const [first, second] = manager.devices();
if (first === undefined || second === undefined) throw new Error("bind two devices to vfio-pci first");

/** Its character device, opened and not bound: QEMU binds it to the iommufd that it is given. */
const open = (bdf: string) => openSync(manager.devicePath(bdf), "r+");

// At its start: descriptors 3 and 4 of the new process.
const directory = mkdtempSync(join(tmpdir(), "iommufd-qemu-"));
const monitor = join(directory, "qmp");
const device = open(first);
const vm = spawn(
  qemu,
  [
    ...["-machine", "pc", "-accel", "tcg", "-m", "64M", "-nodefaults", "-display", "none", "-S"],
    ...["-qmp", `unix:${monitor},server=on,wait=off`],
    ...["-object", "iommufd,id=iommufd0,fd=3"],
    ...["-device", "vfio-pci,id=hostdev0,iommufd=iommufd0,fd=4"],
  ],
  { stdio: ["ignore", "inherit", "inherit", manager.fd, device] },
);
closeSync(device);
const exited = once(vm, "exit");

/** QMP: a JSON document a line, here and there. */
using qmp = await connect();
let received = "";

async function connect(): Promise<UnixSocket> {
  for (let tries = 0; ; tries++) {
    try {
      return UnixSocket.connect(monitor);
    } catch (error) {
      if (tries === 100 || vm.exitCode !== null) throw error;
      await setTimeout(100);
    }
  }
}

/** The next answer; events and the greeting are passed over. */
async function answer(): Promise<unknown> {
  for (;;) {
    const end = received.indexOf("\n");
    if (end < 0) {
      const message = await qmp.receive();
      if (message === undefined) throw new Error("QEMU is gone");
      received += message.data;
      continue;
    }
    const document = JSON.parse(received.slice(0, end));
    received = received.slice(end + 1);
    if ("error" in document) throw new Error(`QEMU: ${document.error.desc}`);
    if ("return" in document) return document.return;
  }
}

async function execute(command: string, args: object = {}, fds: number[] = []): Promise<unknown> {
  await qmp.send(`${JSON.stringify({ execute: command, arguments: args })}\n`, fds);
  return answer();
}

await execute("qmp_capabilities");
console.log(`${first}: given to QEMU at its start`);

// While it runs: the descriptors go with the command that names them.
using iommufd = Iommufd.open({ backend: "kernel" });
const another = open(second);
await execute("getfd", { fdname: "iommu" }, [iommufd.fd]);
await execute("getfd", { fdname: "device" }, [another]);
closeSync(another);
await execute("object-add", { "qom-type": "iommufd", id: "iommufd1", fd: "iommu" });
await execute("device_add", { driver: "vfio-pci", id: "hostdev1", iommufd: "iommufd1", fd: "device" });
console.log(`${second}: given to QEMU over QMP`);

const devices = (await execute("qom-list", { path: "/machine/peripheral" })) as {
  name: string;
  type: string;
}[];
const given = devices.filter(({ type }) => type === "child<vfio-pci>").map(({ name }) => name);
console.log(`QEMU has ${given.sort().join(", ")}`);
for (const bdf of [first, second]) {
  try {
    manager.openDevice(bdf).close();
    console.log(`${bdf}: nobody has it`);
  } catch (error) {
    console.log(`${bdf}: in use (${(error as NodeJS.ErrnoException).code})`);
  }
}

await execute("quit");
await exited;
rmSync(directory, { recursive: true });
for (const bdf of [first, second]) manager.openDevice(bdf).close();
console.log("QEMU has ended, and both are free again");
