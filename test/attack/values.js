/** Arguments: some that make sense, and some that nobody should give. */

/**
 * Values that are made anew for each call.
 *
 * @type {readonly ((attacker: import("./attacker.js").Attacker) => unknown)[]}
 */
const HOSTILE = [
  () => undefined,
  () => null,
  () => Number.NaN,
  () => -1,
  () => 2 ** 32,
  () => 2 ** 53,
  () => 1.5,
  () => -1n,
  () => 1n << 63n,
  () => 1n << 64n,
  // Page sizes other than powers of two, and lengths that go with them.
  () => (1n << 40n) + 4096n,
  () => 4097n,
  () => "",
  () => "x".repeat(5000),
  () => Symbol("x"),
  () => new Uint8Array(0),
  () => new DataView(new ArrayBuffer(8)),
  () => new Uint8Array(new SharedArrayBuffer(64)),
  () => new Uint8Array(new WebAssembly.Memory({ initial: 1, maximum: 2 }).buffer),
  () => detached(),
  () => shrunk(),
  () => new Proxy([], { get: (_, name) => (name === "length" ? 2 ** 31 : 0) }),
  () => new Proxy(new Uint8Array(64), {}),
  () => Array.from({ length: 300 }, () => 0),
  () => growing(),
  () => new ArrayBuffer(64),
  (attacker) => attacker.bytes().buffer,
  (attacker) => attacker.random.pick(attacker.tokens),
  () => Object.create(null),
  () => () => 0,
  (attacker) => attacker.random.pick(attacker.externals()),
  (attacker) => ({
    valueOf() {
      attacker.closeSome();
      return 1;
    },
  }),
  (attacker) => ({
    get length() {
      attacker.closeSome();
      return 4;
    },
    get id() {
      throw new Error("get");
    },
  }),
  // A list whose element closes handles when it is read, and one of descriptors of which the same is true.
  (attacker) => Object.defineProperty([0], 0, { get: () => attacker.closeSome() ?? 0 }),
];

/** A view of a buffer that has gone elsewhere. */
function detached() {
  const bytes = new Uint8Array(64);
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
  return bytes;
}

/** A view that is out of bounds. */
function shrunk() {
  const Resizable = /** @type {any} */ (ArrayBuffer);
  const buffer = new Resizable(64, { maxByteLength: 128 });
  const bytes = new Uint8Array(buffer, 32);
  buffer.resize(8);
  return bytes;
}

/** A list that grows while it is read. */
function growing() {
  const list = [0];
  return Object.defineProperty(list, 0, {
    get: () => {
      while (list.length < 1000) list.push(0);
      return 0;
    },
  });
}

/**
 * Any value.
 *
 * @param {import("./attacker.js").Attacker} attacker
 */
export function anyValue(attacker) {
  const { random } = attacker;
  switch (random.below(9)) {
    case 0:
    case 1:
      return random.pick(HOSTILE)(attacker);
    case 2:
      return random.below(70);
    case 3:
      return BigInt(random.below(64)) << BigInt(random.below(40));
    case 4:
      return BigInt(random.below(3)) * 4096n;
    case 5:
      return new BigUint64Array(random.below(6)).fill(BigInt(random.below(3)) * 4096n);
    case 6:
      return attacker.bytes();
    case 7:
      return random.percent(50);
    default:
      return attacker.anyHandle();
  }
}
