/**
 * The house rules that oxlint has no rule for: names, opening comments, time from nowhere, inheritance, barrels, doors. Reads the
 * text with comments and strings masked. Prints one line per finding.
 */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { basename, join, sep } from 'node:path';
import { commentsOf, lineAt, maskSource } from './source-text.ts';

interface Source {
  readonly path: string;
  readonly text: string;
  /** The text with comments and strings blanked. */
  readonly code: string;
}

type Rule = (source: Source) => string | readonly string[] | undefined;

const rooms = '{packages,apps,farm,benchmarks,tools}';
const rules: readonly Rule[] = [nameless, opening, mainSize, impureDate, inheritance, barrel, narrowed, looseTodo];

if (import.meta.main) {
  const findings = checkStyle(process.cwd());
  for (const finding of findings) process.stdout.write(`${finding}\n`);
  process.exitCode = findings.length > 0 ? 1 : 0;
}

export function checkStyle(root: string): string[] {
  const find = (pattern: string): string[] => {
    const found = globSync(`${rooms}/**/${pattern}`, { cwd: root, exclude: (name) => name.endsWith('node_modules') });
    return found.map((path) => path.replaceAll(sep, '/')).toSorted();
  };
  const sources = find('*.{ts,mjs}').map((path) => {
    const text = readFileSync(join(root, path), 'utf8');
    return { path, text, code: maskSource(text) };
  });
  const findings = sources.flatMap((source) =>
    rules.flatMap((rule) => rule(source) ?? []).map((finding) => ({ path: source.path, finding })),
  );
  const doors = find('package.json').flatMap((path) => brokenDoors(root, path).map((finding) => ({ path, finding })));
  return [...findings, ...doors].map(({ path, finding }) => (/^\d+: /.test(finding) ? `${path}:${finding}` : `${path}: ${finding}`));
}

function nameless({ path }: Source): string | undefined {
  const name = path.split('/').find((part) => /^(utils?|helpers?|common|shared|misc)(\.|$)/.test(part));
  return name && `${name} says nothing; name it for what it holds`;
}

function opening({ path, text }: Source): string | undefined {
  if (path.endsWith('.test.ts')) return undefined;
  const comment = /^(?:#!.*\n)?\/\*\*([\s\S]*?)\*\//.exec(text)?.[1];
  if (comment === undefined) return '1: opens without a /** comment that says what the file is for';
  const lines = comment.split('\n').filter((line) => /[^\s*]/.test(line)).length;
  return lines > 5 ? `1: its opening comment has ${lines} lines, at most 5` : undefined;
}

function mainSize({ path, text }: Source): string | undefined {
  const lines = text.trimEnd().split('\n').length;
  return path.startsWith('apps/') && basename(path) === 'main.ts' && lines > 40 ? `${lines} lines, a main has at most 40` : undefined;
}

function impureDate({ path, code }: Source): string[] {
  if (/^(packages\/runtime|tools|benchmarks)\//.test(path)) return [];
  return matches(code, /\bnew Date(?:\(\s*\)|(?!\s*\())|(?<!new )\bDate\(/g, 'time is an argument: give Date an instant from the clock');
}

function inheritance({ code }: Source): string[] {
  return matches(code, /\bclass\s+\w*(?:<[^{]*?>)?\s*extends\s+(?!\w*Error\b)/g, 'only Error may be inherited from');
}

function barrel({ path, code }: Source): string | undefined {
  const rest = code.replaceAll(/\bexport\b[^;]*?\bfrom\s*['"]\s*['"];?/g, '').trim();
  return rest === '' && /\bexport\b/.test(code)
    ? `a barrel; point ${path.split('/').slice(0, 2).join('/')}/package.json at the files`
    : undefined;
}

function narrowed({ path, code }: Source): string[] {
  if (!path.endsWith('.test.ts')) return [];
  return matches(code, /\b(?:test|it|describe|suite)\.only\b|\bonly: true/g, 'a test narrowed with only');
}

function looseTodo({ text }: Source): string[] {
  return commentsOf(text).flatMap(({ from, to }) =>
    [...text.slice(from, to).matchAll(/\b(?:TODO|FIXME|XXX)\b(?!\(#\d+\))/g)].map(
      ({ index }) => `${lineAt(text, from + index)}: a TODO carries an issue number, TODO(#12)`,
    ),
  );
}

function brokenDoors(root: string, path: string): string[] {
  const doors: Record<string, unknown> = JSON.parse(readFileSync(join(root, path), 'utf8')).exports ?? {};
  return Object.entries(doors).flatMap(([door, target]) => {
    if (door.includes('*') || door === '.') return [`door ${door}: doors are listed one by one, by file`];
    if (typeof target !== 'string' || !target.endsWith('.ts')) return [`door ${door} does not point at a .ts file`];
    return existsSync(join(root, path, '..', target)) ? [] : [`door ${door} points at ${target}, which does not exist`];
  });
}

function matches(code: string, pattern: RegExp, finding: string): string[] {
  return [...code.matchAll(pattern)].map(({ index }) => `${lineAt(code, index)}: ${finding}`);
}
