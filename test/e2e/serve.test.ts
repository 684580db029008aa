/** `iommufd serve`, and what it does to clients that are not Prometheus. */

import { type StdioOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { lstatSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { iommufd, MAIN, run } from "./command.ts";
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
  socket.resume();
  if (!socket.closed) await new Promise((resolve) => socket.once("close", resolve));
}

/** Becomes a program that has a Unix socket that listens, as systemd does: its path, and the program with its arguments. */
const HANDS_OVER = `
import os, socket, sys
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1])
listening.listen()
os.dup2(listening.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.argv[2], sys.argv[2:])
`;

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

  it.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)("%s ends it well", async (signal) => {
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

  it("long headers and nonsense", async () => {
    await using server = await RunningServer.start("--root", host);
    const say = async (said: string) => {
      const socket = await opened(server.url);
      let heard = "";
      socket.on("data", (data) => {
        heard += data;
      });
      socket.end(said);
      // The server may hang up before the client has sent everything.
      await closed(socket);
      return heard.split("\r\n")[0];
    };
    expect(await say(`GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: ${"x".repeat(9000)}\r\n\r\n`)).toBe(
      "HTTP/1.1 431 Request Header Fields Too Large",
    );
    expect(await say("hello\r\n\r\n")).toBe("HTTP/1.1 400 Bad Request");
    expect(await say("GET // HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")).toMatch(/ 40\d /);
  });

  it("one request a connection", async () => {
    await using server = await RunningServer.start("--root", host);
    const socket = await opened(server.url);
    socket.write("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(3));
    expect((await text(socket)).match(/^HTTP.*|^Connection.*/gm)).toEqual([
      "HTTP/1.1 200 OK",
      "Connection: close",
    ]);
  });

  it("connections that say nothing end; where there are more than it takes, the oldest ends at once", async () => {
    await using server = await RunningServer.start("--root", host);
    const sockets: Socket[] = [];
    for (let count = 0; count < 300; count++) sockets.push(await opened(server.url));
    await Promise.all(sockets.slice(0, 300 - 256).map(closed));
    expect(await ask(server.url)).toMatchObject({ status: 200 });
    await Promise.all(sockets.map(closed));
  });

  it.each(["unix:", ""])("a Unix socket (%s)", async (scheme) => {
    const path = join(host, "metrics.sock");
    const args = [MAIN, "serve", "--root", host];
    const stdio = ["ignore", "inherit", "pipe"] satisfies StdioOptions;
    const child =
      scheme === ""
        ? spawn("python3", ["-c", HANDS_OVER, path, process.execPath, ...args], { stdio })
        : spawn(process.execPath, [...args, "--listen", `unix:${path}`], { stdio });
    const [said] = (await once(child.stderr as Readable, "data")) as [Buffer];
    expect(said.toString()).toBe(
      `iommufd: serving ${scheme === "" ? "the Unix socket that systemd handed over" : `unix:${path}`}\n`,
    );
    const sent = request({ socketPath: path, path: "/", headers: { Host: "localhost" }, agent: false });
    const [response] = (await once(sent.end(), "response")) as [IncomingMessage];
    expect(await text(response)).toBe("iommufd: /metrics\n");
    child.kill("SIGTERM");
    expect(await once(child, "exit")).toEqual([0, null]);
    rmSync(path, { force: true });
  });

  it("a Unix socket that a killed server left is no obstacle; one that is served, and a file, are", async () => {
    const path = join(host, "left.sock");
    const start = async () => {
      const args = [MAIN, "serve", "--root", host, "--listen", `unix:${path}`];
      const child = spawn(process.execPath, args, { stdio: ["ignore", "inherit", "pipe"] });
      const [said] = (await once(child.stderr, "data")) as [Buffer];
      return { child, said: said.toString() };
    };
    const end = async ({ child }: Awaited<ReturnType<typeof start>>) => {
      child.kill("SIGKILL");
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    };
    await end(await start());
    expect(lstatSync(path).isSocket()).toBe(true);
    const second = await start();
    const third = await start();
    await Promise.all([end(second), end(third)]);
    expect(second.said).toBe(`iommufd: serving unix:${path}\n`);
    expect(third.said).toBe(`iommufd: listen EADDRINUSE: address already in use ${path}\n`);
    rmSync(path);
    writeFileSync(path, "kept");
    expect(iommufd(["serve", "--root", host, "--listen", `unix:${path}`])).toEqual({
      status: 2,
      stdout: "",
      stderr: `iommufd: --listen: ${path} is there, and is not a socket; remove it, or name another path\n`,
    });
    expect(readFileSync(path, "utf8")).toBe("kept");
    rmSync(path);
  });

  it("several sockets of systemd are refused, and those of another process are not ours", () => {
    const start = (pid: string, args: readonly string[]) =>
      run(host, "bash", [
        "-c",
        `LISTEN_PID=${pid} LISTEN_FDS=2 exec "$@"`,
        "bash",
        process.execPath,
        MAIN,
        ...args,
      ]);
    expect(start("$$", ["serve"])).toEqual({
      status: 2,
      output:
        "iommufd: systemd hands over 2 sockets, and one can be served; write one Listen… line in the .socket unit\n",
    });
    expect(start("1", ["serve", "--listen", "0.0.0.0:0"]).output).toMatch(
      /^iommufd: --listen: 0\.0\.0\.0 can be/,
    );
  });

  it("where other hosts can connect it wants --allow-remote, and warns", async () => {
    for (const address of ["0.0.0.0:0", "[::]:0", "[::ffff:0.0.0.0]:0"]) {
      expect(iommufd(["serve", "--root", host, "--listen", address])).toMatchObject({
        status: 2,
        stderr: expect.stringMatching(
          /^iommufd: --listen: \S+ can be reached by other hosts; say --allow-remote .*\n$/,
        ),
      });
    }
    const listen = ["--root", host, "--listen", "0.0.0.0:0", "--allow-remote"];
    await using server = await RunningServer.start(...listen);
    expect(server.said[0]).toBe(
      "iommufd: other hosts can connect, without a password or encryption, and read what doctor and probe see",
    );
    await using other = await RunningServer.start("--root", host, "--listen", "localhost:0");
    expect(other.said).toHaveLength(1);
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
    [
      ["--listen", "9772"],
      "It must be an address and a port, such as 127.0.0.1:9772 or [::1]:9772, or unix: and a path.",
    ],
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
