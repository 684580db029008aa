// `npm run bench -- interrupts`, on any Linux: how long it takes from the signal of an eventfd, by another thread, until JavaScript has
// it, against a loop in C around epoll_wait().
import { KernelBackend } from "../dist/backend/kernel/kernel-backend.js";
import { compare, loadC, loadLibc, median, time } from "./compare.js";

const SIGNALS = 20;
const WAITS = 500;

const c = loadC();
const { write } = loadLibc();
const eventFd = new KernelBackend().createEventFd();
const fd = eventFd.fd();

await compare(
  "interrupt: from the signal to JavaScript",
  async () => {
    const delays = [];
    c.startSignals(fd, SIGNALS);
    while (delays.length < SIGNALS) {
      await eventFd.readable();
      delays.push(c.takeSignal());
      eventFd.read();
    }
    return median(delays);
  },
  () => {
    const delays = new Float64Array(SIGNALS);
    c.startSignals(fd, SIGNALS);
    c.takeSignals(fd, SIGNALS, delays);
    return median([...delays]);
  },
  { aim: 2 },
);

const one = new BigUint64Array([1n]);
await compare(
  "interrupt: signal, wait and read, in one thread",
  () =>
    time(WAITS, async () => {
      for (let i = 0; i < WAITS; i++) {
        write(fd, one, 8);
        await eventFd.readable();
        eventFd.read();
      }
    }),
  () => c.waitAndRead(fd, WAITS),
);
eventFd.close();
