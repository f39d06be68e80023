/**
 * A small project with a history, for `npm run dev` and the pictures of the README: a counter that worker threads share, its tests and its checks, all of
 * them real. Some commits are mistakes that the tests find. It is written by nobody.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { text } from 'node:stream/consumers';
import type { ConfigInput } from '@croft/config/define-config';
import { HOUR, MINUTE, SECOND, systemClock } from '@croft/runtime/clock';

export const sampleName = 'tally';

/** A subject, and what it does to the files: the whole file, or words of it replaced. */
type Change = readonly [subject: string, files: Readonly<Record<string, string | readonly [from: string, to: string]>>];

const node = (name: string, role: 'setup' | 'run-tests', ...args: string[]) => ({
  name,
  role,
  argv: ['node', ...args],
  limitMs: 5 * MINUTE,
});
const version = node('version', 'setup', '--version');
const builder = (name: string, ...steps: ReturnType<typeof node>[]) => ({ name, repo: sampleName, steps });

export const sampleBuilders: NonNullable<ConfigInput['builders']> = [
  builder('checks', node('syntax', 'run-tests', '--check', 'tally.mjs'), node('check', 'run-tests', 'tools/check.mjs')),
  builder('docs', node('examples', 'run-tests', 'tools/docs.mjs')),
  builder('linux-unit', version, node('unit', 'run-tests', '--test', '--test-reporter=spec')),
  builder('linux-race', version, node('warm-up', 'setup', 'race.mjs', '1'), node('race', 'run-tests', 'race.mjs')),
];

const tally = `/** A counter that worker threads share. */
export function createTally(memory = new SharedArrayBuffer(8)) {
  const cells = new BigInt64Array(memory);
  return {
    memory,
    add: (count) => void Atomics.add(cells, 0, BigInt(count)),
    total: () => Number(Atomics.load(cells, 0)),
  };
}
`;

const race = `import { Worker, isMainThread, workerData } from 'node:worker_threads';
import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { createTally } from './tally.mjs';

const rounds = Number(process.argv[2] ?? 30);
const adds = 100_000;

if (isMainThread) {
  for (let round = 1; round <= rounds; round += 1) {
    const tally = createTally();
    const workers = Array.from({ length: 2 }, () => new Worker(import.meta.filename, { workerData: tally.memory }));
    await Promise.all(workers.map((worker) => once(worker, 'exit')));
    const lost = workers.length * adds - tally.total();
    const word = lost === 0 ? '\\x1b[32mok\\x1b[0m' : '\\x1b[31merror\\x1b[0m';
    console.log(\`\${word} round \${round} of \${rounds}: \${workers.length} threads, \${tally.total()} counted, \${lost} lost\`);
    if (lost !== 0) process.exit(1);
    await setTimeout(300);
  }
} else {
  const { add } = createTally(workerData);
  for (let n = 0; n < adds; n += 1) add(1);
}
`;

const test = `import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTally } from './tally.mjs';

test('a new tally is zero', () => assert.equal(createTally().total(), 0));

test('a tally adds up', () => {
  const tally = createTally();
  for (const count of [1, 2, 3]) tally.add(count);
  assert.equal(tally.total(), 6);
});
`;

const check = `import { readFileSync } from 'node:fs';
const lines = readFileSync('tally.mjs', 'utf8').split('\\n');
const wrong = lines.flatMap((line, index) => (/\\s$|\\t|console/.test(line) ? [\`tally.mjs:\${index + 1}: \${line}\`] : []));
console.log(wrong.join('\\n') || \`\${lines.length} lines, nothing found\`);
process.exitCode = wrong.length > 0 ? 1 : 0;
`;

const docs = `import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createTally } from '../tally.mjs';
for (const [, calls, total] of readFileSync('README.md', 'utf8').matchAll(/^    (.*) -> (.*)$/gm)) {
  const tally = createTally();
  for (const call of calls.split('; ')) tally[call.split(' ')[0]](Number(call.split(' ')[1]));
  assert.equal(tally.total(), Number(total), calls);
  console.log(\`ok  \${calls} -> \${total}\`);
}
`;

const atomic = 'void Atomics.add(cells, 0, BigInt(count))';
const plain = 'void (cells[0] += BigInt(count))';

const first = { 'README.md': '# tally\n\n    add 1; add 2 -> 3\n', 'race.mjs': race, 'tools/docs.mjs': docs };

const history: readonly Change[] = [
  ['tally: count in shared memory', { 'tally.mjs': tally, 'tally.test.mjs': test, 'tools/check.mjs': check, ...first }],
  ['docs: show how to add zero', { 'README.md': ['-> 3\n', '-> 3\n    add 0 -> 0\n'] }],
  ['race: say how many were lost', { 'race.mjs': ['threads, ', 'threads in parallel, '] }],
  ['docs: adding may also take away', { 'README.md': ['-> 3\n', '-> 3\n    add 5; add -2 -> 2\n'] }],
  ['docs: five less two is three', { 'README.md': ['-2 -> 2', '-2 -> 3'] }],
  ['race: four threads instead of two', { 'race.mjs': ['length: 2', 'length: 4'] }],
  ['tally: add without atomics, which is three times as fast', { 'tally.mjs': [atomic, plain] }],
  ['test: large counts', { 'tally.test.mjs': ['[1, 2, 3]', '[1, 2, 3, 2 ** 40, -(2 ** 40)]'] }],
  ['tally: add with atomics again, the fast way lost counts', { 'tally.mjs': [plain, atomic] }],
  ['tally: begin at any number', { 'tally.mjs': ['  const cells', '  console.debug(memory);\n  const cells'] }],
  ['tally: leave no traces of debugging', { 'tally.mjs': ['  console.debug(memory);\n', ''] }],
  ['tally: refuse counts that are no whole numbers', { 'tally.mjs': ['BigInt(count))', 'BigInt(Math.trunc(count)))'] }],
  [
    'test: what is refused',
    { 'tally.test.mjs': `${test}\ntest('half a count is refused', () => assert.throws(() => createTally().add(0.5)));\n` },
  ],
  ['tally: refuse them also when they are small', { 'tally.mjs': ['Math.trunc(count)', 'count'] }],
];

const newest: readonly Change[] = [
  ['docs: say that threads may share a tally', { 'README.md': ['# tally\n', '# tally\n\nThreads may share it.\n'] }],
  ['race: sixty rounds instead of thirty', { 'race.mjs': ['?? 30', '?? 60'] }],
  ['tally: say what a tally is made of', { 'tally.mjs': ['share. */', 'share: one 64-bit cell. */'] }],
];

/** Makes it with all of its commits where it is not there, whole or not at all. */
export async function ensureSampleProject(dir: string): Promise<void> {
  if (existsSync(dir)) return;
  const draft = `${dir}.new`;
  await rm(draft, { recursive: true, force: true });
  await mkdir(dirname(dir), { recursive: true });
  const commitNewest = await makeSampleProject(draft);
  await commitNewest();
  await rename(draft, dir);
}

/** Makes a bare repository in `dir` with all but the newest commits, which come with the function that it returns. */
export async function makeSampleProject(dir: string): Promise<() => Promise<void>> {
  await git(['init', '--quiet', '--bare', '--initial-branch=main', dir]);
  const files = new Map<string, string>();
  const now = systemClock.now();
  await importCommits(dir, history, { files, at: (index) => now - (history.length - index) * 1.7 * HOUR });
  return () => importCommits(dir, newest, { files, at: (index) => systemClock.now() - (newest.length - index) * 4 * MINUTE });
}

interface Import {
  /** The tree so far; changed by each commit. */
  readonly files: Map<string, string>;
  at(index: number): number;
}

async function importCommits(dir: string, changes: readonly Change[], { files, at }: Import): Promise<void> {
  const started = files.size > 0;
  const stream = changes.map(([subject, edits], index) => {
    for (const [path, edit] of Object.entries(edits)) files.set(path, typeof edit === 'string' ? edit : replaced(files.get(path), edit));
    const parent = index === 0 && started ? 'from refs/heads/main^0\n' : '';
    const who = `committer builder <builder@example.com> ${Math.floor(at(index) / SECOND)} +0000`;
    const tree = [...files].map(([path, content]) => `M 100644 inline ${path}\n${data(content)}`);
    return `commit refs/heads/main\n${who}\n${data(subject)}${parent}${tree.join('')}`;
  });
  await git([`--git-dir=${dir}`, 'fast-import', '--quiet'], stream.join(''));
}

function replaced(content = '', [from, to]: readonly [string, string]): string {
  if (!content.includes(from)) throw new Error(`the sample project does not contain ${from}`);
  return content.replace(from, to);
}

function data(content: string): string {
  return `data ${Buffer.byteLength(content)}\n${content}\n`;
}

async function git(args: readonly string[], input = ''): Promise<void> {
  const child = spawn('git', args, { stdio: ['pipe', 'ignore', 'pipe'] });
  child.stdin.end(input);
  const [said, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')]);
  if (code !== 0) throw new Error(`git ${args.at(-1)} failed (${code}): ${said}`);
}
