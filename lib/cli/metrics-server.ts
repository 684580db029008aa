/**
 * A small HTTP server for one text. It reads nothing but the request line and the Host header, changes nothing, and gives
 * up on clients that are many, slow or wordy.
 */

import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, isIP } from "node:net";

/** Connections at once; Prometheus needs one. */
const CONNECTIONS = 32;

/** The most that the header of a request may be, in bytes. */
const HEADER_SIZE = 8 << 10;

/** How long a client may take to send a request, in milliseconds. */
const PATIENCE = 5_000;

/** What is served. */
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
  readonly #server: ReturnType<typeof createServer>;
  /** Where: "http://127.0.0.1:9772/metrics". */
  readonly url: string;

  private constructor(server: ReturnType<typeof createServer>) {
    this.#server = server;
    const { address, port, family } = server.address() as AddressInfo;
    this.url = `http://${family === "IPv6" ? `[${address}]` : address}:${port}/metrics`;
  }

  /**
   * Starts one.
   *
   * @throws SystemError EADDRINUSE, EACCES, EADDRNOTAVAIL: it cannot listen there
   */
  static async start(host: string, port: number, served: Served): Promise<MetricsServer> {
    const server = createServer(
      {
        maxHeaderSize: HEADER_SIZE,
        headersTimeout: PATIENCE,
        requestTimeout: PATIENCE,
        keepAliveTimeout: PATIENCE,
      },
      (request, response) => void answer(request, response, served),
    );
    server.maxConnections = CONNECTIONS;
    await once(server.listen(port, host), "listening");
    return new MetricsServer(server);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, "close");
  }
}

async function answer(request: IncomingMessage, response: ServerResponse, served: Served): Promise<void> {
  const send = (status: number, text: string, headers: Record<string, string> = {}) => {
    const type = { "Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff" };
    // A body that was sent all the same is not read.
    const close: Record<string, string> = hasBody(request) ? { Connection: "close" } : {};
    response.writeHead(status, { ...type, ...close, ...headers });
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

function hasBody({ headers }: IncomingMessage): boolean {
  return headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0";
}
