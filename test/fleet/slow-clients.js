/** Clients that hold a server up, each in a way of its own, and that come again at once: node slow-clients.js PORT COUNT */

import { connect } from "node:net";
import process from "node:process";

const [port, count] = process.argv.slice(2).map(Number);

/** The behaviour of a client; returns the time in ms after which it sends more, and the text. */
const WAYS = [
  // Says nothing.
  () => {},
  // Sends its request a byte at a time, for ever.
  (socket) => {
    socket.write("GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: ");
    return setInterval(() => socket.write("x"), 200);
  },
  // Begins a request.
  (socket) => socket.write("GET /metr"),
  // Sends one whole request, and begins another.
  (socket) => socket.write("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\nGET /"),
  // Asks again and again, and takes no answer.
  (socket) => {
    socket.pause();
    return setInterval(() => socket.write("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(20)), 50);
  },
  // Says that a body follows, and sends none.
  (socket) => socket.write("POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"),
  // Hangs up, and comes again.
  (socket) => setTimeout(() => socket.destroy(), 5),
];

let connections = 0;

/** @param {number} index */
function attack(index) {
  connections++;
  const socket = connect(port, "127.0.0.1");
  let timer;
  socket.on("error", () => {});
  socket.on("connect", () => {
    timer = WAYS[index % WAYS.length](socket);
  });
  socket.on("data", () => {});
  socket.on("close", () => {
    clearInterval(timer);
    setImmediate(attack, index);
  });
}

for (let index = 0; index < count; index++) attack(index);
process.on("SIGTERM", () => {
  process.stdout.write(`${connections}\n`);
  process.exit();
});
process.stdout.write("attacking\n");
