// `npm run bench -- interrupts`, on any Linux: how long it takes from the signal of an eventfd, by another thread, until a loop over
// an InterruptVector has it, against a loop in C around epoll_wait().
import { KernelBackend } from "../dist/backend/kernel/kernel-backend.js";
import { Iommufd } from "../dist/index.js";
import { InterruptVector } from "../dist/iommufd/interrupts.js";
import { compare, loadC, loadLibc, median, time } from "./compare.js";

const SIGNALS = 20;
const WAITS = 100;

const c = loadC();
const { write } = loadLibc();
const eventFd = new KernelBackend().createEventFd();
const fd = eventFd.fd();
// As Device.enableInterrupts() makes it, but for the device.
const iommufd = Iommufd.open({ backend: "software" });
const interrupts = new InterruptVector(eventFd, iommufd)[Symbol.asyncIterator]();

await compare(
  "interrupt: from the signal to JavaScript",
  async () => {
    const delays = [];
    c.startSignals(fd, SIGNALS);
    while (delays.length < SIGNALS) {
      await interrupts.next();
      delays.push(c.takeSignal());
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
        const next = interrupts.next();
        write(fd, one, 8);
        await next;
      }
    }),
  () => c.waitAndRead(fd, WAITS),
);
iommufd.close();
