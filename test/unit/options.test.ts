/** Options that there are not are refused, by everything public that takes options. */

import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, it } from "vitest";
import { checkOptions, knownOptions } from "../../lib/arguments.ts";
import {
  Container,
  captureProfile,
  decide,
  decideBypassRo,
  Iommufd,
  type MemorySection,
  plan,
  queryLibvirt,
  queryQemu,
  readMemoryMap,
  readMemoryMapFrom,
  selectBackend,
  softwareMachine,
} from "../../lib/index.ts";

const SECTION: MemorySection = {
  start: 0n,
  size: 4096n,
  region: "ram",
  offsetInRegion: 0n,
  type: "ram",
  readonly: false,
};

const FIRST = "0000:00:01.0";

/** Objects other than options: each field is checked, or the schema of a document is. */
const CHECKED_AS_DATA = ["MemorySection", "Profile", "SelectedBackend"];

function makeObjects() {
  const host = softwareMachine("selftest");
  const iommufd = Iommufd.open(host);
  const device = iommufd.openDevice(iommufd.devices()[0] ?? "");
  const ioas = iommufd.allocIoas();
  const hwpt = ioas.allocHwptSync(device, { nestParent: true });
  const viommu = hwpt.allocViommu(device, { type: 0xdeadbeef, bytes: new Uint8Array(8) });
  return { host, iommufd, device, ioas, hwpt, viommu, memory: iommufd.allocMemory(4096n) };
}

type Objects = ReturnType<typeof makeObjects>;

/** Each of them, given options that have one too many; and the options that it must have. */
const CALLS: Record<string, (options: never, objects: Objects) => unknown> = {
  selectBackend: (options) => selectBackend(options),
  "Iommufd.open": (options) => Iommufd.open(options),
  "Iommufd.allocMemory": (options, { iommufd }) => iommufd.allocMemory(4096n, options),
  "Ioas.map": (options, { ioas, memory }) => ioas.map(memory, options),
  "Ioas.mapSync": (options, { ioas, memory }) => ioas.mapSync(memory, options),
  "Ioas.mapMany": (options, { ioas, memory }) => ioas.mapMany(memory, NO_RANGES, options),
  "Ioas.mapManySync": (options, { ioas, memory }) => ioas.mapManySync(memory, NO_RANGES, options),
  "Ioas.mapFile": (options, { ioas, memory }) => ioas.mapFile(memory, options),
  "Ioas.mapFileSync": (options, { ioas, memory }) => ioas.mapFileSync(memory, options),
  "Ioas.copyFrom": (options, { ioas }) => ioas.copyFrom(ioas, options),
  "Ioas.copyFromSync": (options, { ioas }) => ioas.copyFromSync(ioas, options),
  "Ioas.allocHwpt": (options, { ioas, device }) => ioas.allocHwpt(device, options),
  "Ioas.allocHwptSync": (options, { ioas, device }) => ioas.allocHwptSync(device, options),
  "Hwpt.allocNested": (options, { hwpt, device }) => hwpt.allocNested(device, NESTED, options),
  "Hwpt.allocNestedSync": (options, { hwpt, device }) => hwpt.allocNestedSync(device, NESTED, options),
  "Hwpt.readDirtyBitmap": (options, { hwpt }) => hwpt.readDirtyBitmap(options),
  "Hwpt.readDirtyBitmapSync": (options, { hwpt }) => hwpt.readDirtyBitmapSync(options),
  "Device.attach": (options, { device, ioas }) => device.attach(ioas, options),
  "Device.attachSync": (options, { device, ioas }) => device.attachSync(ioas, options),
  "Device.detach": (options, { device }) => device.detach(options),
  "Viommu.allocVeventQueue": (options, { viommu }) => viommu.allocVeventQueue(options),
  "Viommu.allocHwQueue": (options, { viommu }) => viommu.allocHwQueue(options),
  "SoftwareMachine.dmaRead": (options, { host }) => host.dmaRead(FIRST, 0n, 1, options),
  "SoftwareMachine.dmaWrite": (options, { host }) => host.dmaWrite(FIRST, 0n, new Uint8Array(1), options),
  "Container.constructor": (options, { iommufd }) => new Container(iommufd, options),
  captureProfile: (options, { iommufd }) => captureProfile(iommufd, [], options),
  decideBypassRo: (options) => decideBypassRo(options),
  decide: (options) => decide(SECTION, options),
  plan: (options) => plan([SECTION], options),
  readMemoryMap: (options) => readMemoryMap("[]", options),
  readMemoryMapFrom: (options) => readMemoryMapFrom(noChunks(), options),
  queryQemu: (options) => queryQemu("/no/such/socket", options),
  queryLibvirt: (options) => queryLibvirt("none", options),
};

const NO_RANGES = {
  iovas: new BigUint64Array(),
  lengths: new BigUint64Array(),
  offsets: new BigUint64Array(),
};
const NESTED = { type: 0xdeadbeef, bytes: new Uint8Array(4) };

async function* noChunks(): AsyncGenerator<string, void> {}

describe("an option that there is not", () => {
  const objects = makeObjects();

  it.each(Object.entries(CALLS))("%s: is refused by name", async (_, call) => {
    const error = {
      name: "TypeError",
      code: "ERR_INVALID_ARG_VALUE",
      message: expect.stringMatching(/^no option 'nestign'.*; there are \w+(, \w+)*$/),
    };
    await expect((async () => call({ nestign: true } as never, objects))()).rejects.toMatchObject(error);
    await expect((async () => call(null as never, objects))()).rejects.toMatchObject({
      code: "ERR_INVALID_ARG_TYPE",
    });
  });

  it("the one that was meant is named", () => {
    const known = knownOptions<{ backend?: string; nestParent?: boolean }>({
      backend: "other",
      nestParent: "boolean",
    });
    const messageOf = (option: string) => {
      try {
        checkOptions({ [option]: true }, known);
      } catch (error) {
        return (error as Error).message;
      }
      return undefined;
    };
    const meant = (option: string) => /did you mean "(\w+)"/.exec(messageOf(option) ?? "")?.[1];
    expect(["bakend", "backned", "backends", "Backend", "BACKEND"].map(meant)).toEqual(
      Array(5).fill("backend"),
    );
    expect(["nestparent", "nest_parent", "nestedParent"].map(meant)).toEqual(Array(3).fill("nestParent"));
    expect(messageOf("colour")).toBe("no option 'colour'; there are backend, nestParent");
    expect(messageOf("bakend")).toBe(
      "no option 'bakend' (did you mean \"backend\"?); there are backend, nestParent",
    );
  });

  it("a boolean must be one, and what is inherited is nobody's business", () => {
    const { ioas, memory } = objects;
    for (const writable of [0, "false", null])
      expect(() => ioas.mapSync(memory, { writable: writable as never })).toThrow(
        "writable must be a boolean, received ",
      );
    const inherited = Object.create({ colour: 1 }, { writable: { value: false, enumerable: true } });
    const iova = ioas.mapSync(memory, inherited);
    ioas.unmapSync(iova, memory.length);
  });
});

describe("a section", () => {
  it.each<[object, string]>([
    [{ readonly: undefined, readOnly: true }, "ERR_INVALID_ARG_TYPE"],
    [{ readonly: "false" }, "ERR_INVALID_ARG_TYPE"],
    [{ type: "rom" }, "ERR_OUT_OF_RANGE"],
    [{ protected: "yes" }, "ERR_INVALID_ARG_TYPE"],
  ])("%j is not taken for RAM that is written to", (change, code) => {
    expect(() => plan([{ ...SECTION, ...change }])).toThrow(expect.objectContaining({ code }));
  });
});

it("nothing public that takes options is missing above", () => {
  expect(publicCallsWithOptions().sort()).toEqual(Object.keys(CALLS).sort());
}, 120_000);

/** The exports that take an object of options, or one with something optional in it, as the compiler sees them. */
function publicCallsWithOptions(): string[] {
  const path = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url));
  const { config } = ts.parseConfigFileTextToJson("", ts.sys.readFile(path("tsconfig.json")) ?? "");
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, path("."));
  const program = ts.createProgram([path("lib/index.ts")], options);
  const checker = program.getTypeChecker();
  const index = program.getSourceFile(path("lib/index.ts"));
  const surface = index && checker.getSymbolAtLocation(index);
  if (surface === undefined) throw new Error("lib/index.ts is no module");

  const isOptions = (type: ts.Type): boolean => {
    if (type.isUnion()) return type.types.some(isOptions);
    const { declarations, name } = type.aliasSymbol ?? type.symbol ?? {};
    const isOurs = declarations?.some((each) => each.getSourceFile().fileName.startsWith(path("lib/")));
    if (!isOurs || type.isClass() || CHECKED_AS_DATA.includes(name)) return false;
    return (
      /(Options|Input|Words)$/.test(name) ||
      type.getProperties().some(({ flags }) => flags & ts.SymbolFlags.Optional)
    );
  };
  const takesOptions = (signatures: readonly ts.Signature[]) =>
    signatures
      .flatMap(({ parameters }) => parameters)
      .some((parameter) => isOptions(checker.getTypeOfSymbol(parameter)));
  const isInternal = (tags: readonly { name: string }[]) => tags.some(({ name }) => name === "internal");

  return checker.getExportsOfModule(surface).flatMap((exported) => {
    const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
    if (!(symbol.flags & (ts.SymbolFlags.Function | ts.SymbolFlags.Class))) return [];
    const type = checker.getTypeOfSymbol(symbol);
    const found = takesOptions(type.getCallSignatures()) ? [symbol.name] : [];
    const constructors = type.getConstructSignatures().filter((each) => !isInternal(each.getJsDocTags()));
    if (takesOptions(constructors)) found.push(`${symbol.name}.constructor`);
    const instance = checker.getDeclaredTypeOfSymbol(symbol);
    for (const member of [...type.getProperties(), ...instance.getProperties()]) {
      if (member.name.includes("#") || isInternal(member.getJsDocTags(checker))) continue;
      if (takesOptions(checker.getTypeOfSymbol(member).getCallSignatures()))
        found.push(`${symbol.name}.${member.name}`);
    }
    return found;
  });
}
