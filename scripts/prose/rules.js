/**
 * The rules of plain English that `npm run lint` holds. Each has a name, a test of one sentence, and what to write instead.
 */

/** How many words a sentence may have; a code span is one word. */
const LONGEST = 35;

/** How many passive verbs a sentence may have. */
const PASSIVES = 3;

/** Where a clause starts: the start of the sentence, or what follows a semicolon or a colon. */
const CLAUSE = "(?:^|[;:] (?:and |but |so |or )?)";

/** Pronouns and articles, with which a noun clause that stands as subject or object goes on. */
const STARTER = "(?:it|they|he|we|you|the|a|an|this|these|those|there|such|no|nothing|nobody|each|all|any)";

/** Verbs that have such clauses as objects. */
const VERBS = "tells?|says?|shows?|knows?|has|sees?|settles|decides";

const PARTICIPLE =
  "(?:\\w{2,}ed|been|begun|bound|broken|built|chosen|cut|done|drawn|driven|found|given|gone|held|kept|known|laid|left|lost|made|meant|" +
  "put|read|said|seen|sent|set|shown|shut|split|taken|thrown|told|torn|undone|understood|woken|written)";
const PASSIVE = new RegExp(
  `\\b(?:is|are|was|were|be|been|being)(?: \\w+ly| not| never| then| also)? ${PARTICIPLE}\\b`,
  "gi",
);

/** A noun clause as subject ("That nothing was there is …"), or as object before its verb ("Which names yours has, it says"). */
const FRONTED = new RegExp(
  `^that ${STARTER} |^(?:whether|how|why|which|what)\\b[^,]*, (?:(?:the|a|this) )?\\w+ (?:${VERBS})\\b`,
  "i",
);

/** A pattern as a test: where in the sentence it is found, or undefined. */
const matches = (pattern) => (sentence) => pattern.exec(sentence)?.index;

/**
 * @typedef {object} Rule
 * @property {string} name
 * @property {(sentence: string, context: { first: boolean, kind: string, words: number }) => number | undefined} test where the
 *   sentence breaks the rule, or undefined
 * @property {string} instead
 */

/** @type {Rule[]} */
export const RULES = [
  {
    name: "long-sentence",
    test: (_, { words }) => (words > LONGEST ? 0 : undefined),
    instead: `split the sentence: it has more than ${LONGEST} words`,
  },
  {
    name: "passive-chain",
    test: (sentence) => ([...sentence.matchAll(PASSIVE)].length > PASSIVES ? 0 : undefined),
    instead: `say who does it: the sentence has more than ${PASSIVES} passive verbs`,
  },
  {
    name: "double-space",
    // Wider gaps are columns.
    test: matches(/\S {2}\S/),
    instead: "one space",
  },
  {
    name: "plural",
    test: matches(/\w\(e?s\)(?!\w)/),
    instead: "the singular or the plural, by number",
  },
  {
    name: "tells",
    test: matches(/\btells?\b(?! (?:you|users|readers|the device|a device|apart)\b)(?!.* apart\b)/i),
    instead: "print, list, say, show, or know",
  },
  {
    name: "bare-it",
    // A sentence before may have named what "it" is; the first of a text has none before it.
    test: (sentence, { first, kind }) =>
      first && kind !== "message" ? matches(/^It(?:'s)?\b/)(sentence) : undefined,
    instead: "name the subject",
  },
  {
    name: "bare-those",
    test: matches(
      new RegExp(
        `(?:${CLAUSE}|, (?:and |but |so )?)those (?:that|which|who|of|with|without|in|on|from|for|are|were|have|had|do|can|will|it|they|we|you|the|alone)\\b`,
        "i",
      ),
    ),
    instead: "repeat the noun",
  },
  {
    name: "bare-such",
    test: matches(
      new RegExp(
        `${CLAUSE}such (?:is|are|was|were|that|do|have|has|can|will)\\b|(?<!\\bas )\\bsuch(?=[.,;:)]|$)`,
        "i",
      ),
    ),
    instead: "repeat the noun",
  },
  {
    name: "bare-what",
    test: (sentence, { kind }) =>
      kind === "heading" || kind === "cell" || sentence.endsWith("?")
        ? undefined
        : matches(/^(?:What|Who|Whoever|Whose|Whatever) |; (?:and |but |so )?(?:what|who|whoever|whatever) /)(
            sentence,
          ),
    instead: "begin with a noun",
  },
  {
    name: "that-which",
    test: matches(/\bthat which\b|\bthose which\b/i),
    instead: "a noun",
  },
  {
    name: "fronted-of",
    // Behind a tag or in a table, "of the first" goes on with what stands before it.
    test: matches(/^Of (?!course\b)|[;:] (?:and |but |so )?of (?!course\b)/),
    instead: "begin with the subject",
  },
  {
    name: "fronted-clause",
    test: (sentence, { kind }) =>
      kind === "heading" || kind === "cell" || sentence.endsWith("?")
        ? undefined
        : matches(FRONTED)(sentence),
    instead: "subject first, then the verb, then the clause",
  },
  {
    name: "is-no",
    test: matches(/(?<!\bthere )\b(?:is|are|was|were) no (?!longer\b|more\b|less\b|\w+er than\b)/i),
    instead: "is not a",
  },
  {
    name: "for-because",
    test: matches(/, for (?:it|they|nothing|these|this|that|what|nobody|there|both|he|we|you)\b/i),
    instead: "because",
  },
];
