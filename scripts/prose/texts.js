/**
 * The prose of a file: paragraphs, headings and table cells of Markdown, comments of source code, and the messages that
 * TypeScript has as strings. Code in prose becomes one word each.
 */

import remarkGfm from "remark-gfm";
import remarkParse from "remark-parse";
import ts from "typescript";
import { unified } from "unified";
import { visit } from "unist-util-visit";

/**
 * @typedef {object} Text
 * @property {"paragraph" | "heading" | "cell" | "message"} kind
 * @property {string} text without markup, in one line
 * @property {number} line of its first character, from 1
 */

const markdown = unified().use(remarkParse).use(remarkGfm);

/** The word that stands for code in a sentence. */
const CODE = "Code";

/** The words of a node of Markdown. */
function wordsOf(node) {
  if (node.type === "text") return node.value;
  if (node.type === "inlineCode") return CODE;
  if (node.type === "html" || node.type === "image") return "";
  if (node.type === "break") return "\n";
  return (node.children ?? []).map(wordsOf).join("");
}

/**
 * Markdown's prose.
 *
 * @param {string} source
 * @param {number} offset lines before it in the file
 * @returns {Text[]}
 */
function fromMarkdown(source, offset = 0) {
  const texts = [];
  visit(markdown.parse(source), (node) => {
    const kind = { paragraph: "paragraph", heading: "heading", tableCell: "cell" }[node.type];
    if (kind === undefined) return;
    const text = wordsOf(node)
      .replaceAll(/[ \t]*\n[ \t]*/g, " ")
      .trim();
    if (text !== "") texts.push({ kind, text, line: offset + node.position.start.line });
  });
  return texts;
}

/** A tag of a doc comment, with the type and the name that follow it. */
const TAG =
  /^@(?:param|throws|property|typedef|returns?|template|type|internal|module|category|packageDocumentation)\b(?: \{[^}]*\})?(?: [\w[\].]+(?= [a-z])| [A-Z]\w*(?= ))?/;

/** An instruction to a tool. */
const INSTRUCTION = /^(?:biome-|c8 |v8 |clang-format|@ts-|shellcheck |NOLINT|SPDX)/;

/**
 * A comment's prose. Instructions to tools are left out.
 *
 * @param {string[]} lines without the marks of the comment
 * @param {number} line of the first
 */
function fromComment(lines, line) {
  const parts = [];
  for (const [index, each] of lines.entries()) {
    // A tag begins a text of its own; the name behind it is not prose.
    if (index === 0 || TAG.test(each)) parts.push({ line: line + index, lines: [] });
    const prose = INSTRUCTION.test(each)
      ? ""
      : each.replace(TAG, "").replaceAll(/\{@link ([^}]*)\}/g, "`$1`");
    parts.at(-1)?.lines.push(prose);
  }
  return parts.flatMap((part) => fromMarkdown(part.lines.join("\n"), part.line - 1));
}

/** A block of comments, without their marks, with the line of the first. */
function unmarked(comment) {
  if (!comment.startsWith("/*")) return [comment.replace(/^(?:\/\/+|#+) ?/, "")];
  return comment
    .replace(/^\/\*+ ?/, "")
    .replace(/\s*\*+\/$/, "")
    .split("\n")
    .map((line) => line.replace(/^\s*\* ?/, ""));
}

/**
 * Comments that follow each other line by line are one text.
 *
 * @param {{ line: number, column: number, comment: string }[]} comments
 */
function fromComments(comments) {
  const blocks = [];
  for (const { line, column, comment } of comments) {
    const last = blocks.at(-1);
    const goesOn =
      last !== undefined &&
      !comment.startsWith("/*") &&
      last.mark === comment[0] &&
      last.column === column &&
      last.next === line;
    if (goesOn) {
      last.lines.push(...unmarked(comment));
      last.next = line + 1;
    } else {
      const lines = unmarked(comment);
      const mark = comment.startsWith("/*") ? "*" : comment[0];
      blocks.push({ line, column, mark, lines, next: line + lines.length });
    }
  }
  return blocks.flatMap(({ lines, line }) => fromComment(lines, line));
}

/** Comments of C++, shell scripts and YAML. */
function commentsOfLines(source) {
  const comments = [];
  const pattern = /(?:^|(?<=\s))(?:\/\*[\s\S]*?\*\/|\/\/.*|#(?= ).*)/gm;
  for (const match of source.matchAll(pattern)) {
    const before = source.slice(0, match.index);
    const start = before.lastIndexOf("\n") + 1;
    // Not in a string of one line.
    if ((before.slice(start).match(/(?<!\\)["']/g) ?? []).length % 2 === 1) continue;
    comments.push({ line: before.split("\n").length, column: match.index - start, comment: match[0] });
  }
  return comments;
}

/** Comments and messages of TypeScript and JavaScript. */
function fromScript(name, source, withMessages) {
  const file = ts.createSourceFile(name, source, ts.ScriptTarget.Latest, false);
  const comments = new Map();
  const messages = [];
  const at = (position) => {
    const { line, character } = ts.getLineAndCharacterOfPosition(file, position);
    return { line: line + 1, column: character };
  };
  const note = (ranges) => {
    for (const { pos, end } of ranges ?? [])
      comments.set(pos, { ...at(pos), comment: source.slice(pos, end) });
  };
  const look = (node) => {
    if (node.kind >= ts.SyntaxKind.FirstJSDocNode && node.kind <= ts.SyntaxKind.LastJSDocNode) return;
    if (node.pos !== node.end) {
      note(ts.getLeadingCommentRanges(source, node.pos));
      note(ts.getTrailingCommentRanges(source, node.end));
    }
    if (withMessages) {
      const message =
        ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node) ? node.text : undefined;
      const parts = ts.isTemplateExpression(node)
        ? [node.head, ...node.templateSpans.map(({ literal }) => literal)].map(({ text }) => text).join(CODE)
        : message;
      // Several words with spaces between are a message; layout and lists of names are not.
      if (
        parts !== undefined &&
        /^[\w"'(].*(?:[a-z,;:]+ [a-z]+){3}/i.test(parts) &&
        !/[<{\\]|\n\n/.test(parts)
      )
        messages.push({ kind: "message", text: parts.replaceAll(/\s*\n\s*/g, " "), line: at(node.end).line });
    }
    for (const child of node.getChildren(file)) look(child);
  };
  look(file);
  const sorted = [...comments.values()].sort((a, b) => a.line - b.line || a.column - b.column);
  return [...fromComments(sorted), ...messages];
}

/**
 * The prose of a file, by the end of its name.
 *
 * @param {string} name
 * @param {string} source
 * @returns {Text[]}
 */
export function textsOf(name, source) {
  if (name.endsWith(".md")) return fromMarkdown(source);
  if (/\.(?:ts|js|mjs)$/.test(name)) return fromScript(name, source, name.startsWith("lib/"));
  return fromComments(commentsOfLines(source));
}
