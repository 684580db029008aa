// A plugin of TypeDoc: the folder of a declaration decides its category in the API reference (npm run docs).

import { Comment, CommentTag, Converter, DeclarationReflection, ReflectionKind } from "typedoc";

/** @type {[RegExp, string][]} The category of each folder of lib; typedoc.json has their order. */
const CATEGORIES = [
  [
    /lib\/iommufd\/(?:iommufd|device|ioas|hwpt|dma-memory|map-options|page-table|resource)\.ts$/,
    "Kernel objects",
  ],
  [/lib\/iommufd\/(?:region|interrupts|dma-buf|dma-logging)\.ts$/, "Devices"],
  [/lib\/iommufd\//, "Nested IOMMUs and events"],
  [/lib\/container\//, "Plans and containers"],
  [/lib\/memory-map\/|lib\/section\.ts$/, "Memory maps"],
  [/lib\/hw-info\/|lib\/host\//, "What the hardware says"],
  [/lib\/backend\/(?:software|select|choice)/, "Backends and models"],
  [/lib\/backend\/kernel\/unix-socket\.ts$/, "Unix sockets"],
  [/lib\/backend\/|lib\/errors\.ts$|lib\/origin\.ts$/, "Errors and traces"],
  [/lib\/(?:uapi|arguments)\.ts$/, "The kernel's types and constants"],
];

/** @param {import("typedoc").Application} app */
export function load(app) {
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, (context) => {
    for (const reflection of context.project.getReflectionsByKind(ReflectionKind.SomeExport)) {
      if (reflection.parent !== context.project) continue;
      const file =
        context.getSymbolFromReflection(reflection)?.declarations?.[0]?.getSourceFile().fileName ?? "";
      const [, category] = CATEGORIES.find(([pattern]) => pattern.test(file)) ?? [];
      if (category === undefined) throw new Error(`${reflection.name}: no category for ${file}`);
      const commented = (reflection instanceof DeclarationReflection && reflection.signatures) || [
        reflection,
      ];
      for (const each of commented) {
        each.comment ??= new Comment();
        each.comment.blockTags.push(new CommentTag("@category", [{ kind: "text", text: category }]));
      }
    }
  });
}
