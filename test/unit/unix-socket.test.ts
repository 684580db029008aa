/** Descriptors over unix sockets. */

import { spawnSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  fstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { UnixServer, UnixSocket } from "../../lib/index.ts";

describe.runIf(process.platform === "linux")("unix sockets", () => {
  let directory: string;
  let path: string;
  let server: UnixServer;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "iommufd-socket-"));
    path = join(directory, "socket");
    server = UnixServer.listen(path);
  });

  afterEach(() => {
    server.close();
    rmSync(directory, { recursive: true });
  });

  /** Both ends of a connection. */
  async function pair(): Promise<[UnixSocket, UnixSocket]> {
    const client = UnixSocket.connect(path);
    for await (const accepted of server) return [client, accepted];
    throw new Error("nobody connected");
  }

  it("carry bytes and descriptors, which are the receiver's own", async () => {
    const [client, accepted] = await pair();
    const file = join(directory, "file");
    const fd = openSync(file, "w+");
    await client.send("one", [fd, fd]);
    closeSync(fd);
    const message = await accepted.receive();
    expect(message?.data.toString()).toBe("one");
    expect(message?.fds.length).toBe(2);
    const [first = -1, second = -1] = message?.fds ?? [];
    writeSync(first, "written");
    expect(readFileSync(file, "utf8")).toBe("written");
    const flags = readFileSync(`/proc/self/fdinfo/${first}`, "utf8").match(/^flags:\s+(\d+)/m)?.[1];
    expect(Number.parseInt(flags ?? "0", 8) & 0o2000000, "close-on-exec").not.toBe(0);
    for (const each of [first, second]) closeSync(each);
    client.close();
    expect(await accepted.receive()).toBeUndefined();
    accepted.close();
  });

  it("send and receive at the same time, more than fits, in order", async () => {
    const [client, accepted] = await pair();
    const received = client.receive();
    const big = Buffer.alloc(3 << 20, "abcdefg");
    const sent = [accepted.send(big), accepted.send("end")];
    await client.send("while waiting");
    expect((await accepted.receive())?.data.toString()).toBe("while waiting");
    const parts = [(await received)?.data ?? Buffer.alloc(0)];
    while (!parts.at(-1)?.toString().endsWith("end")) {
      parts.push((await client.receive())?.data ?? Buffer.alloc(0));
    }
    await Promise.all(sent);
    expect(Buffer.concat(parts).equals(Buffer.concat([big, Buffer.from("end")]))).toBe(true);
    client.close();
    accepted.close();
  });

  it("are iterated until the other end closes", async () => {
    const [client, accepted] = await pair();
    await client.send("all");
    client.close();
    const messages: string[] = [];
    for await (const { data } of accepted) messages.push(data.toString());
    expect(messages).toEqual(["all"]);
    await expect(accepted.send("late")).rejects.toMatchObject({ code: "EPIPE", syscall: "sendmsg" });
    accepted.close();
  });

  it("end every wait when they are closed", async () => {
    const [client, accepted] = await pair();
    const waits = [client.receive(), client.receive()];
    const stuck = accepted.send(Buffer.alloc(8 << 20));
    client.close();
    client.close();
    expect(await Promise.all(waits)).toEqual([undefined, undefined]);
    await expect(stuck).rejects.toMatchObject({ code: expect.stringMatching(/EPIPE|ECONNRESET/) });
    await expect(client.send("x")).rejects.toMatchObject({ code: "ERR_IOMMUFD_CLOSED" });
    const other = UnixSocket.connect(path);
    const never = other.send(Buffer.alloc(8 << 20));
    other.close();
    await expect(never).rejects.toMatchObject({ code: "ERR_IOMMUFD_CLOSED" });
    accepted.close();
    const accepting = (async () => {
      const clients: UnixSocket[] = [];
      for await (const each of server) clients.push(each);
      for (const each of clients) each.close();
      return clients.length;
    })();
    await new Promise((resolve) => setTimeout(resolve, 10));
    server.close();
    server.close();
    expect(await accepting).toBe(1);
    expect(existsSync(path)).toBe(false);
  });

  it("wait once for each: a second wait for the same is refused, and the first ends", () => {
    // In a process of its own: a wait that is lost would keep it from ending.
    const script = `
      const addon = require("./build/Release/iommufd.node");
      const server = addon.listenUnixSocket(${JSON.stringify(`${path}-2`)});
      const first = server.writable();
      server.writable();
      server.close();
      first.then((ready) => console.log(ready));`;
    const { status, stdout } = spawnSync(process.execPath, ["-e", script], {
      encoding: "utf8",
      timeout: 10_000,
    });
    expect({ status, stdout }).toEqual({ status: 0, stdout: "false\n" });
  });

  it("refuse what cannot be, and lose nothing", async () => {
    expect(() => UnixServer.listen(path)).toThrow(
      expect.objectContaining({ code: "EADDRINUSE", syscall: "bind", request: { path } }),
    );
    expect(existsSync(path)).toBe(true);
    expect(() => UnixSocket.connect(join(directory, "none"))).toThrow(
      expect.objectContaining({ code: "ENOENT", syscall: "connect" }),
    );
    expect(() => UnixSocket.connect("/".padEnd(108, "x"))).toThrow("path must be at most 107 bytes long");
    expect(() => UnixSocket.connect(5 as never)).toThrow(TypeError);
    const [client, accepted] = await pair();
    await expect(client.send("x", [9999])).rejects.toMatchObject({ code: "EBADF" });
    await expect(client.send("x", Array(254).fill(0))).rejects.toThrow("at most 253 descriptors");
    await expect(client.send("x", ["0" as never])).rejects.toThrow(TypeError);
    await expect(client.send(5 as never)).rejects.toThrow("data must be a string or a Uint8Array");
    await client.send("fine", Array(253).fill(0));
    const message = await accepted.receive();
    expect([message?.data.toString(), message?.fds.length]).toEqual(["fine", 253]);
    for (const fd of message?.fds ?? []) closeSync(fd);
    client.close();
    accepted.close();
  });

  it("speak with sockets of node:net, and hold the program for as long as they wait only", async () => {
    const other = join(directory, "net");
    const echo = createServer((socket) => socket.pipe(socket)).listen(other);
    await new Promise((resolve) => echo.once("listening", resolve));
    using client = UnixSocket.connect(other);
    await client.send("hello");
    expect((await client.receive())?.data.toString()).toBe("hello");
    echo.close();
    const script = `
      import { UnixServer } from ${JSON.stringify(new URL("../../dist/index.js", import.meta.url).href)};
      const server = UnixServer.listen(${JSON.stringify(join(directory, "idle"))});
      process.on("exit", () => server.close());`;
    const { status, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
      timeout: 20_000,
      encoding: "utf8",
    });
    expect([status, stderr]).toEqual([0, ""]);
  });

  it("send what they were given, whatever becomes of it while the message waits", async () => {
    const [client, accepted] = await pair();
    const [sent, other] = ["sent", "other"].map((name) => join(directory, name)) as [string, string];
    const fd = openSync(sent, "w+");
    const data = Buffer.from("message");
    // The message waits behind more data than fits.
    const before = client.send(Buffer.alloc(1 << 20));
    const promise = client.send(data, [fd]);
    data.fill(0);
    closeSync(fd);
    const reused = openSync(other, "w+");
    expect(reused, "the number is another file's by now").toBe(fd);
    let received = Buffer.alloc(0);
    const fds: number[] = [];
    while (!received.toString("latin1").endsWith("message")) {
      const message = await accepted.receive();
      if (message === undefined) throw new Error("the other end has closed");
      received = Buffer.concat([received, message.data]);
      fds.push(...message.fds);
    }
    await Promise.all([before, promise]);
    expect(fds.map((each) => fstatSync(each).ino)).toEqual([statSync(sent).ino]);
    for (const each of [reused, ...fds]) closeSync(each);
    await expect(client.send("", [0])).rejects.toThrow("data must be at least one byte");
    client.close();
    accepted.close();
  });

  it("lose no connection while the process has no descriptor for it", () => {
    const script = `
      import { openSync, closeSync } from "node:fs";
      import { UnixServer, UnixSocket } from ${JSON.stringify(new URL("../../dist/index.js", import.meta.url).href)};
      const server = UnixServer.listen(${JSON.stringify(join(directory, "full"))});
      const clients = [1, 2].map(() => UnixSocket.connect(${JSON.stringify(join(directory, "full"))}));
      const taken = [];
      try { for (;;) taken.push(openSync("/dev/null")); } catch (error) { console.log(error.code); }
      await clients[0].send("x", [0]).catch(({ code, syscall }) => console.log(code, syscall));
      setTimeout(() => taken.splice(0).forEach((fd) => closeSync(fd)), 50);
      let accepted = 0;
      for await (const each of server) {
        each.close();
        if (++accepted === clients.length) break;
      }
      console.log(accepted);
      for (const each of [server, ...clients]) each.close();`;
    const { stdout, stderr } = spawnSync(
      "sh",
      ["-c", 'ulimit -n 400; exec "$0" --input-type=module -e "$1"', process.execPath, script],
      { encoding: "utf8", timeout: 20_000 },
    );
    expect([stdout, stderr]).toEqual(["EMFILE\nEMFILE fcntl\n2\n", ""]);
  });

  it("leave no descriptor behind that came with what nobody read", async () => {
    const [client, accepted] = await pair();
    const fd = openSync(join(directory, "kept"), "w");
    await client.send("x", [fd]);
    accepted.close();
    client.close();
    fstatSync(fd);
    closeSync(fd);
  });
});
