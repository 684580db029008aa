// Which part of the library may use which, held by `npm run structure`. docs/architecture.md draws it, and says why.

/** Each folder of lib, and the folders that it may use; besides, all use the files directly in lib. */
const MAY_USE = {
  backend: [],
  "hw-info": [],
  iommufd: ["hw-info", "backend"],
  container: ["iommufd", "hw-info", "backend"],
  "memory-map": [],
  host: ["hw-info", "backend"],
  demo: ["container", "iommufd", "backend"],
  report: ["demo", "container", "memory-map", "host", "hw-info", "backend"],
  cli: ["report", "demo", "container", "memory-map", "host", "iommufd", "hw-info", "backend"],
};

const layers = Object.entries(MAY_USE).map(([folder, below]) => ({
  name: `${folder}-uses-what-is-below`,
  comment: `lib/${folder} may use ${["lib/*.ts", ...below.map((other) => `lib/${other}`)].join(", ")}`,
  severity: "error",
  from: { path: `^lib/${folder}/` },
  to: { path: "^lib/.*/", pathNot: `^lib/(${[folder, ...below].join("|")})/` },
}));

/** A rule that has no exceptions but those it names. */
const never = (name, comment, from, to) => ({ name, comment, severity: "error", from, to });

export default {
  forbidden: [
    ...layers,
    never("no-cycle", "Types count too.", {}, { circular: true }),
    never(
      "the-bottom-uses-nothing",
      "What all use can use none of them; index.ts is the surface.",
      { path: "^lib/[^/]+\\.ts$", pathNot: "^lib/index\\.ts$" },
      { path: "^lib/.*/" },
    ),
    never(
      "the-surface-is-for-others",
      "Within the library a module is imported from where it is.",
      { path: "^lib/" },
      { path: "^lib/index\\.ts$" },
    ),
    never(
      "two-backends",
      "The model shares types with the kernel's backend, and no code.",
      { path: "^lib/backend/(kernel|software)/" },
      { path: "^lib/backend/(kernel|software)/", pathNot: "^lib/backend/$1/" },
    ),
    never(
      "backends-behind-one-interface",
      "Objects know the interface, not who is behind it: they reach neither backend, through others either.",
      { path: "^lib/iommufd/", pathNot: "^lib/iommufd/iommufd\\.ts$" },
      { path: "^lib/backend/(kernel|software)/", reachable: true },
    ),
    never(
      "the-way-in-asks-for-a-backend",
      "Iommufd.open() has one chosen, and does not choose.",
      { path: "^lib/iommufd/iommufd\\.ts$" },
      { path: "^lib/backend/(kernel|software)/" },
    ),
    never(
      "one-place-chooses-a-backend",
      "The rest of lib/backend itself is the interface, and knows neither.",
      { path: "^lib/backend/[^/]+\\.ts$", pathNot: "^lib/backend/(select|software-machine)\\.ts$" },
      { path: "^lib/backend/(kernel|software)/" },
    ),
    never(
      "one-place-knows-the-addon",
      "Only lib/backend/kernel knows that there is an addon.",
      { path: "^lib/", pathNot: "^lib/backend/kernel/" },
      { path: "^lib/backend/kernel/addon\\.ts$|^(node_modules/)?bindings(/|$)" },
    ),
    never(
      "the-package-has-what-it-needs",
      "What is shipped uses what is shipped.",
      { path: "^lib/" },
      { dependencyTypes: ["npm-dev", "npm-no-pkg", "npm-unknown", "unknown"] },
    ),
    never(
      "tests-are-for-tests",
      "Nothing else uses them, but the benches that run in the test machine.",
      { path: "^(lib|examples)/" },
      { path: "^test/" },
    ),
    never(
      "examples-are-users",
      "They import the package by its name.",
      { path: "^examples/" },
      { path: "^lib/", pathNot: "^lib/index\\.ts$" },
    ),
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    doNotFollow: { path: ["node_modules", "^dist/bundled/"] },
  },
};
