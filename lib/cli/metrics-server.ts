/**
 * A small HTTP server for one text. It reads only the request line and the Host header, and changes nothing. It gives
 * up on clients that are many, slow or wordy, and answers the others meanwhile.
 */

import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, isIP, type ListenOptions, type Socket } from "node:net";

/** Connections at once; Prometheus needs one. Where there are more, the oldest without a whole request ends. */
const CONNECTIONS = 256;

/** Connections that are taken at all, until those that are too many have ended. */
const CONNECTIONS_TAKEN = 2 * CONNECTIONS;

/** The most that the header of a request may be, in bytes. */
const HEADER_SIZE = 8 << 10;

/** How long a client may take to send a request, in milliseconds. */
const PATIENCE = 5_000;

/** How often that is looked at, in milliseconds. Node.js has 30 seconds, for which a client that says nothing would stay. */
const CHECKING_INTERVAL = 1_000;

/** How long a connection lasts, in milliseconds: also for clients that do not take their answer. */
const CONNECTION_LIFETIME = 2 * PATIENCE;

/** The content that is served. */
export interface Served {
  /** The answer to GET /metrics. */
  readonly metrics: () => Promise<string>;
  readonly contentType: string;
  /** Names that this host is called by, beside addresses and localhost. */
  readonly hostNames: readonly string[];
  /** Told of what went wrong with an answer. */
  readonly onError: (error: unknown) => void;
}

/** A server that listens. */
export class MetricsServer implements AsyncDisposable {
  readonly #server: Server;
  /** Where: an address, or the path of a Unix socket; undefined: a Unix socket that was handed in. */
  readonly address: AddressInfo | string | undefined;

  private constructor(server: Server) {
    this.#server = server;
    this.address = server.address() ?? undefined;
  }

  /**
   * Starts one.
   *
   * @param where an address and a port, the path of a Unix socket, or a socket that listens, as a descriptor
   * @throws SystemError EADDRINUSE, EACCES, EADDRNOTAVAIL: it cannot listen there; EINVAL, ENOTSOCK: the descriptor is
   * not such a socket
   */
  static async start(where: ListenOptions & { fd?: number }, served: Served): Promise<MetricsServer> {
    const server = createServer({
      maxHeaderSize: HEADER_SIZE,
      headersTimeout: PATIENCE,
      requestTimeout: PATIENCE,
      connectionsCheckingInterval: CHECKING_INTERVAL,
    });
    server.maxConnections = CONNECTIONS_TAKEN;
    const isFirst = limitConnections(server);
    server.on("request", (request, response) => {
      // One request a connection: what else was sent is not read, let alone answered.
      if (isFirst(request)) void answer(request, response, served);
    });
    await once(server.listen(where), "listening");
    return new MetricsServer(server);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, "close");
  }
}

/**
 * Ends connections that are too many or last too long. The oldest that has not sent a whole request goes first, so clients
 * that send theirs at once are answered, however many others wait.
 *
 * @returns whether a request is the first of its connection; no more is read of that then
 */
function limitConnections(server: Server): (request: IncomingMessage) => boolean {
  /** Both in the order in which they came. */
  const waiting = new Set<Socket>();
  const answered = new Set<Socket>();
  const endTooMany = () => {
    while (waiting.size + answered.size > CONNECTIONS) {
      const [oldest] = waiting.size > 0 ? waiting : answered;
      oldest?.destroy();
      for (const each of [waiting, answered]) each.delete(oldest as Socket);
    }
  };
  server.on("connection", (socket) => {
    const lifetime = setTimeout(() => socket.destroy(), CONNECTION_LIFETIME);
    waiting.add(socket);
    socket.once("close", () => {
      clearTimeout(lifetime);
      for (const each of [waiting, answered]) each.delete(socket);
    });
    // This comes after everything that has arrived was read, because some of many new clients may have sent their
    // request.
    if (waiting.size + answered.size > CONNECTIONS) setImmediate(() => setImmediate(endTooMany));
  });
  return ({ socket }) => {
    if (!waiting.delete(socket)) return false;
    answered.add(socket);
    socket.pause();
    return true;
  };
}

async function answer(request: IncomingMessage, response: ServerResponse, served: Served): Promise<void> {
  const send = (status: number, text: string, headers: Record<string, string> = {}) => {
    const type = { "Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff" };
    response.writeHead(status, { ...type, Connection: "close", ...headers });
    response.end(request.method === "HEAD" ? undefined : text);
  };
  if (!isOurs(request.headers.host, served.hostNames))
    return send(421, "this host has another name; add it with --host-name\n");
  const [path] = (request.url ?? "").split("?");
  if (path !== "/" && path !== "/metrics") return send(404, "there is /metrics\n");
  if (request.method !== "GET" && request.method !== "HEAD")
    return send(405, "only GET and HEAD\n", { Allow: "GET, HEAD" });
  if (path === "/") return send(200, "iommufd: /metrics\n");
  try {
    send(200, await served.metrics(), { "Content-Type": served.contentType });
  } catch (error) {
    served.onError(error);
    send(500, "the metrics cannot be had; the log of iommufd says why\n");
  }
}

/**
 * Whether a request is for this host. A page of another site can have its own name lead here (DNS rebinding) and then read
 * what is served; an address cannot be had that way.
 */
function isOurs(host: string | undefined, names: readonly string[]): boolean {
  if (host === undefined) return false;
  const name = host.replace(/:\d+$/, "").toLowerCase();
  const address = name.replace(/^\[(.*)\]$/, "$1");
  return isIP(address) !== 0 || name === "localhost" || names.some((each) => each.toLowerCase() === name);
}
