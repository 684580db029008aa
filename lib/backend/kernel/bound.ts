/** The methods of an object of the addon, bound to it: those that need no more than to be called. */
export function bound<Native extends object>(native: Native): Native {
  const names = Object.getOwnPropertyNames(Object.getPrototypeOf(native)) as (keyof Native)[];
  const methods = names.filter((name) => name !== "constructor").map((name) => [name, native[name]] as const);
  return Object.fromEntries(
    methods.map(([name, method]) => [name, (method as () => unknown).bind(native)]),
  ) as Native;
}
