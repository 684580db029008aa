/** `iommufd serve`, and what it does to clients that are not Prometheus. */

import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { connect, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { iommufd } from "./command.ts";
import { RunningServer } from "./running-server.ts";
import { temporaryFiles } from "./temporary-files.ts";

const { directory: host } = temporaryFiles();

interface Reply {
  readonly status: number | undefined;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

async function ask(url: URL | string, options: { method?: string; host?: string } = {}): Promise<Reply> {
  const { method = "GET", host: name } = options;
  const sent = request(url, { method, agent: false, headers: name === undefined ? {} : { Host: name } });
  const [response] = (await once(sent.end(), "response")) as [IncomingMessage];
  return { status: response.statusCode, headers: response.headers, body: await text(response) };
}

async function opened({ hostname, port }: URL): Promise<Socket> {
  const socket = connect(Number(port), hostname);
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}

/** Resolves when a connection has ended, in whatever way. */
async function closed(socket: Socket): Promise<void> {
  if (!socket.closed) await new Promise((resolve) => socket.once("close", resolve));
}

describe("iommufd serve", () => {
  it("serves what doctor sees, and opens no device", async () => {
    await using server = await RunningServer.start("--root", host);
    expect(server.said).toEqual([`iommufd: serving ${server.url}`]);
    const { status, headers, body } = await ask(server.url);
    expect({ status, type: headers["content-type"] }).toEqual({
      status: 200,
      type: "application/openmetrics-text; version=1.0.0; charset=utf-8",
    });
    expect(body).toContain("# TYPE iommufd_ready gauge\niommufd_ready 0\n");
    expect(body).toContain('iommufd_checks{check="/dev/iommu",status="fail"} 1\n');
    expect(body).toContain('iommufd_checks{check="/dev/iommu",status="pass"} 0\n');
    expect(body).not.toContain("iommufd_device_");
    expect(body).toMatch(/# EOF\n$/);
  });

  it("--probe: what probe finds, too", async () => {
    await using server = await RunningServer.start("--root", host, "--probe", "--profile", "sapphire-rapids");
    const { body } = await ask(server.url);
    expect(body).toContain('iommufd_device_erratum_772415{bdf="0000:6a:01.0"} 1\n');
    expect(body).toContain(
      'iommufd_device_info{bdf="0000:6a:01.0",iommu="intel-vtd",backend="software"} 1\n',
    );
  });

  it("--probe without an iommufd: says so, and serves no model's answers", async () => {
    await using server = await RunningServer.start("--root", host, "--probe");
    expect(server.said[0]).toMatch(/^iommufd: the kernel backend cannot be used: /);
    const { body } = await ask(server.url);
    expect(body).toContain("iommufd_available 0\n");
    expect(body).not.toContain("iommufd_device_");
  });

  it.each(["SIGINT", "SIGTERM"] as const)("%s ends it well", async (signal) => {
    await using server = await RunningServer.start("--root", host);
    const waiting = await opened(server.url);
    expect(await server.end(signal)).toEqual([0, null]);
    waiting.destroy();
  });

  it("answers to its addresses and names, and no others", async () => {
    await using server = await RunningServer.start("--root", host, "--host-name", "node1.example");
    for (const name of ["127.0.0.1", "localhost:1", "[::1]:80", "10.0.0.7:9772", "NODE1.example:9772"])
      expect(await ask(server.url, { host: name }), name).toMatchObject({ status: 200 });
    for (const name of ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "[::1", "a b"])
      expect((await ask(server.url, { host: name })).status, name).not.toBe(200);
    expect(await ask(server.url, { host: "evil.example" })).toMatchObject({
      status: 421,
      body: "this host has another name; add it with --host-name\n",
    });
  });

  it("has one page, and only to read", async () => {
    await using server = await RunningServer.start("--root", host);
    expect(await ask(new URL("/", server.url))).toMatchObject({ status: 200, body: "iommufd: /metrics\n" });
    expect(await ask(new URL("/metrics?x=1", server.url))).toMatchObject({ status: 200 });
    expect(await ask(new URL("/etc/passwd", server.url))).toMatchObject({ status: 404 });
    expect(await ask(server.url, { method: "HEAD" })).toMatchObject({ status: 200, body: "" });
    for (const method of ["POST", "PUT", "DELETE", "OPTIONS"])
      expect(await ask(server.url, { method })).toMatchObject({
        status: 405,
        headers: { allow: "GET, HEAD" },
      });
  });

  it("long headers, nonsense, and more connections than it takes", async () => {
    await using server = await RunningServer.start("--root", host);
    const say = async (said: string) => {
      const socket = await opened(server.url);
      let heard = "";
      socket.on("data", (data) => {
        heard += data;
      });
      socket.end(said);
      // It may hang up before all has been said.
      await closed(socket);
      return heard.split("\r\n")[0];
    };
    expect(await say(`GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: ${"x".repeat(9000)}\r\n\r\n`)).toBe(
      "HTTP/1.1 431 Request Header Fields Too Large",
    );
    expect(await say("hello\r\n\r\n")).toBe("HTTP/1.1 400 Bad Request");
    expect(await say("GET // HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")).toMatch(/ 40\d /);
    const sockets = await Promise.all(Array.from({ length: 32 }, () => opened(server.url)));
    const late = await opened(server.url);
    late.write("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await closed(late);
    for (const socket of sockets) socket.destroy();
    await Promise.all(sockets.map(closed));
    // It learns of their end in its own time.
    await expect.poll(() => ask(server.url).catch(() => undefined)).toMatchObject({ status: 200 });
  });

  it("an address that is taken: one clear error, exit 1", async () => {
    await using server = await RunningServer.start("--root", host);
    expect(iommufd(["serve", "--root", host, "--listen", server.url.host])).toEqual({
      status: 1,
      stdout: "",
      stderr: `iommufd: listen EADDRINUSE: address already in use ${server.url.host}\n`,
    });
  });

  it.each([
    [["--listen", "9772"], "It must be an address and a port, such as 127.0.0.1:9772 or [::1]:9772."],
    [["--listen", "127.0.0.1:99999"], "It must be an address and a port"],
    [["--root", "/no/such/host"], "--root: /no/such/host: no such directory"],
    [["6a:1"], "PCI address"],
  ])("%j: exit 2", (args, message) => {
    expect(iommufd(["serve", ...args])).toMatchObject({
      status: 2,
      stdout: "",
      stderr: expect.stringContaining(message),
    });
  });
});

it("probe --output writes whole files", () => {
  const path = `${host}/out.prom`;
  const args = ["probe", "--profile", "qemu-vtd", "--quiet", "--output", path];
  for (const format of ["prometheus", "nfd", "json", "table"])
    expect(iommufd([...args, "--format", format])).toEqual({ status: 0, stdout: "", stderr: "" });
  expect(iommufd(["probe", "--format", "nfd", "--output", `${host}/none/x`])).toMatchObject({
    status: 1,
    stderr: expect.stringContaining("none/x: ENOENT: no such file or directory\n"),
  });
});
