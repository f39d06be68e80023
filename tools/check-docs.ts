/**
 * Keeps the documentation true: links and anchors lead somewhere, paths and npm scripts named in backticks exist, code fences
 * parse, room READMEs are there and short, every page is reachable, and no tracked text holds an address of one machine or
 * of a package registry. Prints one line per finding.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { dirname, join, normalize } from 'node:path';
import { parseMarkdown, type Page } from './markdown.ts';

const readmeLines = 60;
const tops = ['README.md', 'ARCHITECTURE.md'];
/** Home folders, mounts of one machine, registries, and addresses that npm writes into a lock. */
const machinePaths = /(?<![\w.~})-])\/(?:home|Users|root|mnt|media|work)\/[\w.-]+/;
const registries = /\bhttps?:\/\/(?:[\w-]+\.)*(?:registry|npmjs|artifactory|nexus|verdaccio|pypi)\b[\w.-]*/i;

if (import.meta.main) {
  const findings = checkDocs(process.cwd());
  for (const finding of findings) process.stdout.write(`${finding}\n`);
  process.exitCode = findings.length > 0 ? 1 : 0;
}

export function checkDocs(root: string): string[] {
  const files = listFiles(root);
  const pages = new Map(
    files.filter((path) => path.endsWith('.md')).map((path) => [path, parseMarkdown(readFileSync(join(root, path), 'utf8'))]),
  );
  const { scripts = {}, workspaces = [] } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  return [
    ...[...pages].flatMap(([path, page]) => [
      ...brokenLinks(root, { path, page }, pages),
      ...missingPaths(root, { path, page }),
      ...missingScripts({ path, page }, scripts),
      ...brokenFences({ path, page }),
    ]),
    ...roomReadmes(root, workspaces),
    ...unreachable(pages),
    ...files.flatMap((path) => addresses(root, path)),
  ];
}

/** What git tracks or would. */
function listFiles(root: string): string[] {
  const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: root, encoding: 'utf8' });
  return listed
    .split('\0')
    .filter((path) => path !== '' && existsSync(join(root, path)))
    .toSorted();
}

interface Named {
  readonly path: string;
  readonly page: Page;
}

function brokenLinks(root: string, { path, page }: Named, pages: ReadonlyMap<string, Page>): string[] {
  return page.links.flatMap(({ target, line }) => {
    if (/^[a-z][a-z0-9+.-]*:/i.test(target)) return [];
    const [file = '', anchor] = decodeURIComponent(target).split('#');
    const to = file === '' ? path : normalize(join(dirname(path), file)).replace(/\/$/, '');
    if (to.startsWith('..') || !existsSync(join(root, to))) return [`${path}:${line}: link to ${target}: there is no ${to}`];
    const missing = anchor && pages.has(to) && !pages.get(to)?.anchors.has(anchor);
    return missing ? [`${path}:${line}: link to ${target}: ${to} has no heading #${anchor}`] : [];
  });
}

/** A word in backticks that begins with a folder of the repository is a path and has to exist; `*`, `<`, capitals stand for others. */
function missingPaths(root: string, { path, page }: Named): string[] {
  return page.words.flatMap(({ text, line }) => {
    const word = text.replace(/[:#].*$/, '').replace(/\/$/, '');
    const isPath = /^(packages|apps|farm|tools|benchmarks|docs|\.ci)\/[\w./@-]+$/.test(word) && !/\b[A-Z]{2,}\b(?!\.md)|NNNN/.test(word);
    return isPath && !existsSync(join(root, word)) ? [`${path}:${line}: names \`${text}\`, which does not exist`] : [];
  });
}

function missingScripts({ path, page }: Named, scripts: Readonly<Record<string, string>>): string[] {
  const said = [...page.words, ...page.fences.filter(({ language }) => /^(sh|bash|shell|console)?$/.test(language))];
  return said.flatMap(({ text, line }) =>
    [...text.matchAll(/\bnpm run ([\w:-]+)/g)].flatMap(([, name = '']) =>
      name in scripts ? [] : [`${path}:${line}: names \`npm run ${name}\`, which package.json does not have`],
    ),
  );
}

function brokenFences({ path, page }: Named): string[] {
  return page.fences.flatMap(({ language, text, line }) => {
    try {
      if (language === 'ts' || language === 'typescript') stripTypeScriptTypes(text);
      if (language === 'json') JSON.parse(text);
      return [];
    } catch (error) {
      const why = error instanceof Error ? error.message.split('\n')[0] : String(error);
      return [`${path}:${line}: this ${language} does not parse: ${why}`];
    }
  });
}

function roomReadmes(root: string, workspaces: readonly string[]): string[] {
  const found = globSync(
    workspaces.map((pattern) => `${pattern}/package.json`),
    { cwd: root },
  ).map((path) => dirname(path));
  return found.toSorted().flatMap((room) => {
    const path = `${room}/README.md`;
    if (!existsSync(join(root, path))) return [`${path}: the room has no README`];
    const lines = readFileSync(join(root, path), 'utf8').trimEnd().split('\n').length;
    return lines > readmeLines ? [`${path}: ${lines} lines, a room's README has at most ${readmeLines}`] : [];
  });
}

/** Every page below docs/ is found by following links from the top pages. */
function unreachable(pages: ReadonlyMap<string, Page>): string[] {
  const seen = new Set<string>();
  const follow = (path: string): void => {
    if (seen.has(path)) return;
    seen.add(path);
    for (const { target } of pages.get(path)?.links ?? []) {
      const to = normalize(join(dirname(path), target.replace(/#.*$/, '')));
      if (pages.has(to)) follow(to);
    }
  };
  for (const top of tops) follow(top);
  const lost = [...pages.keys()].filter((path) => path.startsWith('docs/') && !seen.has(path));
  return lost.map((path) => `${path}: no link leads here from ${tops.join(' or ')}`);
}

function addresses(root: string, path: string): string[] {
  if (!/\.(md|json|ya?ml|ts|mjs|sh)$|(^|\/)\.?[\w-]+$/.test(path)) return [];
  const text = readFileSync(join(root, path), 'utf8');
  if (text.includes('\0')) return [];
  const patterns = [
    ...(isTestFile(path) ? [] : [machinePaths, registries]),
    ...(path.endsWith('package-lock.json') ? [/"resolved": "https?:/] : []),
  ];
  return text.split('\n').flatMap((line, index) => {
    const found = patterns.map((pattern) => pattern.exec(line)?.[0]).find((match) => match !== undefined);
    return found ? [`${path}:${index + 1}: holds an address of one machine or registry: ${found}`] : [];
  });
}

/** Their made-up data may look like anybody's machine. */
function isTestFile(path: string): boolean {
  return /\.test\.ts$|\/testing[\w-]*\.ts$/.test(path);
}
