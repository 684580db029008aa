/** Applies the rules to a file. */

import { toString as toText } from "nlcst-to-string";
import { ParseEnglish } from "parse-english";
import { visit } from "unist-util-visit";
import { RULES } from "./rules.js";
import { textsOf } from "./texts.js";

const english = new ParseEnglish();

/** Sentences of a text, with the number of their words. */
function sentencesOf(text) {
  const sentences = [];
  visit(english.parse(text), "SentenceNode", (node) => {
    const words = node.children.filter(({ type }) => type === "WordNode").length;
    sentences.push({ sentence: toText(node), words });
  });
  return sentences;
}

/** Finds the sentences of a file that break a rule.
 *
 * @param {string} name
 * @param {string} source
 */
export function findings(name, source) {
  return textsOf(name, source).flatMap(({ kind, text, line }) =>
    sentencesOf(text).flatMap(({ sentence, words }, index) =>
      RULES.flatMap(({ name: rule, test, instead }) => {
        const at = test(sentence, { first: index === 0, kind, words });
        if (at === undefined) return [];
        return [{ line, rule, instead, sentence, excerpt: sentence.slice(Math.max(0, at - 20), at + 80) }];
      }),
    ),
  );
}
