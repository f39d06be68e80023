/**
 * Where the parts of a literal stand in JSON, JavaScript or TypeScript. For JSON exact; in a program it follows what is written out
 * as objects, lists and names of constants, and for what is computed it says the nearest place around.
 */
import type { Path } from './explain-issues.ts';

export interface Places {
  /** Counted from 1. `value`: what stands there, looked for in what is computed. */
  lineOf(path: Path, value?: unknown): number | undefined;
}

interface Token {
  readonly text: string;
  readonly at: number;
}

interface Node {
  readonly at: number;
  readonly entries: ReadonlyMap<string | number, Node>;
  /** A constant that stands for it. */
  readonly name?: string;
}

const tokenPattern =
  /\/\/[^\n]*|\/\*[^]*?\*\/|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\[^])*`|\.\.\.|=>|[\p{ID_Start}_$][\p{ID_Continue}$]*|-?\d[\w.]*|\S/gu;

export function literalPlaces(text: string): Places {
  const tokens = [...text.matchAll(tokenPattern)]
    .map((match): Token => ({ text: match[0], at: match.index }))
    .filter(({ text: one }) => !/^\/[/*]/.test(one));
  const constants = new Map<string, Node>();
  let root: Node | undefined;
  tokens.forEach(({ text: word }, index) => {
    const next = tokens[index + 1]?.text;
    if (word === 'export' && next === 'default') root = readValue(tokens, index + 2).node;
    if (/^(const|let|var)$/.test(word) && next !== undefined) {
      const equals = tokens.findIndex((token, at) => at > index && token.text === '=');
      if (equals > 0) constants.set(next, readValue(tokens, equals + 1).node);
    }
  });
  const top = root ?? readValue(tokens, 0).node;
  const lineAt = lineCounter(text);
  return { lineOf: (path, value) => lineAt(find({ root: top, constants, tokens }, path, value)) };
}

function find(
  { root, constants, tokens }: { root: Node; constants: ReadonlyMap<string, Node>; tokens: readonly Token[] },
  path: Path,
  value: unknown,
): number {
  let node = root;
  for (const key of path) {
    const meant = node.name === undefined ? node : (constants.get(node.name) ?? node);
    const inner = meant.entries.get(key);
    if (inner) node = inner;
    else return literalAt(tokens, value) ?? node.at;
  }
  return node.at;
}

/** A text literal that says just this, when there is only one. */
function literalAt(tokens: readonly Token[], value: unknown): number | undefined {
  if (typeof value !== 'string') return undefined;
  const found = tokens.filter(({ text }) => /^["'`]/.test(text) && text.slice(1, -1) === value);
  return found.length === 1 ? found[0]?.at : undefined;
}

interface Read {
  readonly node: Node;
  /** Index of the first token after it. */
  readonly end: number;
}

/** One expression, up to the comma or bracket that ends it. */
function readValue(tokens: readonly Token[], start: number): Read {
  const at = tokens[start]?.at ?? 0;
  const none: Node = { at, entries: new Map() };
  const first = tokens[start]?.text ?? '';
  if (first === '{') return skipRest(tokens, readObject(tokens, start));
  if (first === '[') return skipRest(tokens, readList(tokens, start));
  if (first === '(') {
    const inner = readValue(tokens, start + 1);
    return skipRest(tokens, { ...inner, end: inner.end + 1 });
  }
  if (/^[\p{ID_Start}_$]/u.test(first)) {
    const next = tokens[start + 1]?.text;
    if (next === '(') {
      const argument = readValue(tokens, start + 2);
      return { node: argument.node, end: skip(tokens, start) };
    }
    return { node: { ...none, name: first }, end: skip(tokens, start) };
  }
  return { node: none, end: skip(tokens, start) };
}

function skipRest(tokens: readonly Token[], { node, end }: Read): Read {
  const computed = tokens[end]?.text === '.'; // what is called on it makes something else
  return { node: computed ? { at: node.at, entries: new Map() } : node, end: skip(tokens, end) };
}

/** The next comma or bracket that closes what was open before. */
function skip(tokens: readonly Token[], start: number): number {
  let depth = 0;
  for (let index = start; index < tokens.length; index += 1) {
    const { text = '' } = tokens[index] ?? {};
    if (depth === 0 && /^[,;)\]}]$/.test(text)) return index;
    if (/^[([{]$/.test(text)) depth += 1;
    if (/^[)\]}]$/.test(text)) depth -= 1;
  }
  return tokens.length;
}

function readObject(tokens: readonly Token[], start: number): Read {
  const entries = new Map<string | number, Node>();
  let index = start + 1;
  while (index < tokens.length && tokens[index]?.text !== '}') {
    const { text = '', at = 0 } = tokens[index] ?? {};
    const key = /^["']/.test(text) ? unquoted(text) : text;
    if (tokens[index + 1]?.text === ':') {
      const { node, end } = readValue(tokens, index + 2);
      entries.set(key, { ...node, at });
      index = end;
    } else {
      if (/^[\p{ID_Start}_$]/u.test(text)) entries.set(key, { at, entries: new Map(), name: key });
      index = skip(tokens, index);
    }
    if (tokens[index]?.text === ',') index += 1;
    else if (tokens[index]?.text !== '}') break;
  }
  return { node: { at: tokens[start]?.at ?? 0, entries }, end: index + 1 };
}

function readList(tokens: readonly Token[], start: number): Read {
  const entries = new Map<string | number, Node>();
  let index = start + 1;
  let known = true; // until something is spread: then nobody knows how many came
  for (let count = 0; index < tokens.length && tokens[index]?.text !== ']'; count += 1) {
    known &&= tokens[index]?.text !== '...';
    const { node, end } = readValue(tokens, index);
    if (known) entries.set(count, node);
    index = end;
    if (tokens[index]?.text === ',') index += 1;
    else if (tokens[index]?.text !== ']') break;
  }
  return { node: { at: tokens[start]?.at ?? 0, entries }, end: index + 1 };
}

function unquoted(text: string): string {
  try {
    return JSON.parse(text.startsWith("'") ? `"${text.slice(1, -1).replaceAll('"', '\\"')}"` : text) as string;
  } catch {
    return text.slice(1, -1);
  }
}

/** The line of an offset. */
export function lineCounter(text: string): (offset: number) => number {
  const starts = [0, ...[...text.matchAll(/\n/g)].map((match) => match.index + 1)];
  return (offset) => {
    let low = 0;
    for (let high = starts.length; high - low > 1;) {
      const middle = (low + high) >> 1;
      if ((starts[middle] ?? 0) <= offset) low = middle;
      else high = middle;
    }
    return low + 1;
  };
}

/** JSON without its comments and with no comma before a closing bracket; every other byte keeps its place. */
export function withoutComments(text: string): string {
  const blank = (part: string): string => part.replaceAll(/[^\n]/g, ' ');
  const bare = text.replace(/"(?:[^"\\\n]|\\.)*"|\/\/[^\n]*|\/\*[^]*?\*\//g, (part) => (part.startsWith('"') ? part : blank(part)));
  return bare.replace(/"(?:[^"\\\n]|\\.)*"|,(?=\s*[\]}])/g, (part) => (part === ',' ? ' ' : part));
}
