/** The client of QMP, with servers that do as they should not. */

import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { z } from "zod";
import { QmpClient } from "../../lib/memory-map/qmp-client.ts";
import { queryQemu } from "../../lib/memory-map/running-qemu.ts";

const directory = mkdtempSync(join(tmpdir(), "iommufd-qmp-"));
afterAll(() => rmSync(directory, { recursive: true }));

const GREETING =
  '{"QMP":{"version":{"qemu":{"major":11,"minor":0,"micro":0},"package":""},"capabilities":[]}}\r\n';
const DONE = '{"return":{}}\r\n';

let servers = 0;

/** Starts a server that says something at once and something to each line that comes; null: it hangs up. */
async function server(greeting: string, ...answers: (string | null)[]) {
  const path = join(directory, `${servers++}`);
  const sockets: Socket[] = [];
  const listener = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    socket.write(greeting);
    socket.on("data", () => {
      const answer = answers.shift();
      if (answer === null) socket.destroy();
      else if (answer !== undefined) socket.write(answer);
    });
  });
  await once(listener.listen(path), "listening");
  return {
    path,
    [Symbol.dispose]() {
      for (const socket of sockets) socket.destroy();
      listener.close();
    },
  };
}

async function ask(greeting: string, ...answers: (string | null)[]): Promise<unknown> {
  using there = await server(greeting, DONE, ...answers);
  using client = await QmpClient.connect(there.path, { timeout: 200 });
  return await client.ask("query-name", {}, z.object({ name: z.string() }));
}

it("takes a path of digits for a path, not for a TCP port; an empty one is said to be empty", async () => {
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const { port } = taken.address() as AddressInfo;
  await expect(QmpClient.connect(String(port))).rejects.toThrow(`${port}: ENOENT: no such socket`);
  taken.close();
  await expect(QmpClient.connect("")).rejects.toMatchObject({
    code: "ERR_IOMMUFD_QEMU",
    message: "the path of the QMP socket is empty",
  });
});

it("passes events over, and takes an answer in pieces", async () => {
  expect(await ask(GREETING, '{"event":"STOP","timestamp":{}}\r\n{"return":{"name":"a"}}\r\n')).toEqual({
    name: "a",
  });
  using there = await server(GREETING.slice(0, 20));
  const connected = QmpClient.connect(there.path, { timeout: 200 });
  await expect(connected).rejects.toMatchObject({ code: "ERR_IOMMUFD_QEMU" });
});

it.each<[string, string, (string | null)[], string]>([
  ["no greeting", "", [], "QEMU did not send a greeting"],
  ["another greeting", "220 mail ESMTP\r\n", [], "not what QMP answers: "],
  ["JSON of another kind", '{"hello":1}\n', [], "not what QMP answers: "],
  ["no answer", GREETING, [], "QEMU did not send the answer to query-name within 0.2 s"],
  ["half an answer", GREETING, ['{"return":{"na'], "QEMU did not send the answer to query-name within 0.2 s"],
  ["an end in place of the answer", GREETING, [null], "QEMU hung up before the answer to query-name"],
  ["an error", GREETING, ['{"error":{"class":"GenericError","desc":"No"}}\n'], "query-name: No"],
  ["an answer of another shape", GREETING, ['{"return":{"name":7}}\n'], "query-name: name: "],
  ["no JSON", GREETING, ["return\n"], "not JSON"],
])("%s is one clear error", async (_, greeting, answers, message) => {
  await expect(ask(greeting, ...answers)).rejects.toMatchObject({
    code: "ERR_IOMMUFD_QEMU",
    message: expect.stringContaining(message),
  });
});

it("events without end are no answer", async () => {
  const path = join(directory, `${servers++}`);
  const listener = createServer((socket) => {
    socket.on("error", () => {});
    socket.write(GREETING);
    socket.once("data", () => {
      socket.write(DONE);
      const timer = setInterval(() => socket.write('{"event":"X"}\r\n'), 20);
      socket.on("close", () => clearInterval(timer));
    });
  });
  await once(listener.listen(path), "listening");
  using client = await QmpClient.connect(path, { timeout: 200 });
  await expect(client.ask("query-name", {}, z.unknown())).rejects.toThrow(
    "QEMU did not send the answer to query-name within 0.2 s",
  );
  listener.close();
});

it("virtio-mem that cannot be read is not left out in silence", async () => {
  const devices = [
    { type: "dimm", data: {} },
    { type: "virtio-mem", data: { memaddr: "0x100000000", size: 0, "max-size": 4096 } },
  ];
  const returning = (value: unknown) => `${JSON.stringify({ return: value })}\n`;
  const version = { qemu: { major: 11, minor: 0, micro: 0 }, package: "" };
  using there = await server(GREETING, DONE, returning(version), returning([]), returning(devices));
  await expect(queryQemu(there.path, { timeout: 200 })).rejects.toMatchObject({
    code: "ERR_IOMMUFD_QEMU",
    message: expect.stringContaining("query-memory-devices: [1]"),
  });
});

it("nobody who listens", async () => {
  await expect(QmpClient.connect(join(directory, "none"))).rejects.toMatchObject({
    code: "ERR_IOMMUFD_QEMU",
    message: expect.stringContaining("ENOENT"),
  });
});
