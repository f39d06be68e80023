import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseRunId } from '@croft/domain/names';
import type { Exit } from '@croft/domain/outcome';
import {
  buildletStatusSchema,
  errorBodySchema,
  exitSchema,
  givenPortSchema,
  openPortSchema,
  runListSchema,
  runSchema,
  runSpecSchema,
  statusOfNotStarted,
  takenInputSchema,
  type Run,
  type RunSpec,
} from './runs.ts';

const page = await readFile(new URL('../../../docs/protocols/runs.md', import.meta.url), 'utf8');

/** Every JSON object on the page: fenced, in a table, in the text and in the conversation. */
const fenced = [...page.matchAll(/^```json\n([^]*?)^```/gm)].map(([, text = '']) => text);
const inline = [...page.matchAll(/`(\{"[^`]*\})`/g)].map(([, text = '']) => text);
const spoken = [...page.matchAll(/^(\{".*\})$/gm)].map(([, text = '']) => text);

/** An example with its placeholders filled in. */
function parsed(text: string): unknown {
  return JSON.parse(
    text
      .replace('HIGHEST,…', '9,"message":"the machine is at epoch 9"')
      .replace('RUN,…', spoken.find((line) => line.includes('"running"')) ?? ''),
  );
}

const schemas = {
  exit: exitSchema,
  error: errorBodySchema,
  runs: runListSchema,
  run: runSchema,
  spec: runSpecSchema,
  status: buildletStatusSchema,
  port: givenPortSchema,
  open: openPortSchema,
  taken: takenInputSchema,
};

/** Which schema an example belongs to, told by the field that only it has. */
function kindOf(example: object): keyof typeof schemas | 'cancel' {
  if ('argv' in example) return 'spec';
  if ('runs' in example) return 'runs';
  if ('state' in example) return 'run';
  if ('length' in example) return 'taken';
  if ('kind' in example) return 'exit';
  if ('code' in example) return 'error';
  if ('port' in example) return 'port';
  if ('open' in example) return 'open';
  return 'Version' in example ? 'status' : 'cancel';
}

const examples = [...fenced, ...inline, ...spoken].map((text) => ({ text, value: parsed(text) as object }));

for (const { text, value } of examples) {
  const kind = kindOf(value);
  if (kind === 'cancel') continue;
  test(`the page's example of ${kind} is taken and loses nothing: ${text.replaceAll(/\s+/g, ' ').slice(0, 60)}`, () => {
    assert.deepEqual(schemas[kind].parse(value), value);
  });
}

test('the page shows each shape, and each way in which a command can end', () => {
  const kinds = new Set(examples.map(({ value }) => kindOf(value)));
  assert.deepEqual([...kinds].toSorted(), ['cancel', 'error', 'exit', 'open', 'port', 'run', 'runs', 'spec', 'status', 'taken']);
  const shown = examples.flatMap(({ value }) => (kindOf(value) === 'exit' ? [(value as Exit).kind] : []));
  assert.deepEqual(shown.toSorted(), exitSchema.options.map((option) => option.shape.kind.value as string).toSorted());
});

test('an exit is the one that the domain knows', () => {
  const exit: Exit = exitSchema.parse({ kind: 'over-limit', limit: 'time', reason: 'after 20 min' });
  const back: Run & { state: 'ended' } = { id: 'x', state: 'ended', startedAt: 1, endedAt: 2, output: { length: 0, from: 0 }, exit };
  assert.deepEqual(runSchema.parse(back), back);
});

test('the ids of the page are run ids', () => {
  for (const [id] of page.matchAll(/B0123456789abcdef\.[a-z0-9.]+/g)) assert.equal(parseRunId(id), id);
});

const spec: RunSpec = { argv: ['npm', 'test'], dir: '.', env: { CI: 'true' }, limitMs: 1, outputLimitBytes: 1 };
const wrong: [name: string, change: Record<string, unknown>][] = [
  ['no command', { argv: [] }],
  ['a command line instead of arguments', { argv: 'npm test' }],
  ['more than 4,096 arguments', { argv: Array.from({ length: 4_097 }, () => 'x') }],
  ['an argument longer than the kernel takes', { argv: ['x'.repeat(131_073)] }],
  ['a NUL in an argument', { argv: ['a\0b'] }],
  ['a NUL in the directory', { dir: 'a\0b' }],
  ['a NUL in a variable', { env: { A: 'a\0b' } }],
  ['no directory', { dir: '' }],
  ['a variable without a name', { env: { '': 'x' } }],
  ['a variable whose name holds =', { env: { 'A=B': 'x' } }],
  ['a variable that is no text', { env: { A: 1 } }],
  ['no time', { limitMs: 0 }],
  ['half a millisecond', { limitMs: 0.5 }],
  ['endless time', { limitMs: Infinity }],
  ['a negative limit of output', { outputLimitBytes: -1 }],
  ['a field that is not known', { shell: true }],
];

for (const [name, change] of wrong) {
  test(`a start with ${name} is refused`, () => assert.equal(runSpecSchema.safeParse({ ...spec, ...change }).success, false));
}

test('a start that is complete is taken as it is', () => {
  const variable = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,10}$/).filter((name) => name !== '__proto__');
  const text = fc.string({ unit: 'binary' }).filter((one) => !one.includes('\0'));
  const fields = {
    argv: fc.array(text, { minLength: 1, maxLength: 5 }),
    dir: text.filter((one) => one !== ''),
    env: fc.dictionary(variable, text, { maxKeys: 4, noNullPrototype: true }),
    limitMs: fc.integer({ min: 1 }),
    outputLimitBytes: fc.maxSafeNat().filter((bytes) => bytes > 0),
  };
  const specs = fc.record(fields, { noNullPrototype: true });
  fc.assert(fc.property(specs, (one) => assert.deepEqual(runSpecSchema.parse(JSON.parse(JSON.stringify(one))), one)));
});

test('an end without its exit, and an exit without its end, are no runs', () => {
  const run = { id: 'x', startedAt: 1, output: { length: 0, from: 0 } };
  assert.equal(runSchema.safeParse({ ...run, state: 'ended', endedAt: 2 }).success, false);
  assert.equal(runSchema.safeParse({ ...run, state: 'ended', exit: { kind: 'exited', code: 0 } }).success, false);
  assert.equal(runSchema.safeParse({ ...run, state: 'paused' }).success, false);
});

test('the status of a buildlet that is not ours is understood', () => {
  assert.deepEqual(buildletStatusSchema.parse({ Version: 25 }), { Version: 25 });
});

test('a command that is not there has another status than one that may not be executed, in the words of our buildlet and of Go’s', () => {
  const missing = [
    'no program "gox" in PATH (/usr/bin:/bin)',
    'no such program "./x.sh"',
    'no such directory "x"',
    'the interpreter that "./x.sh" names in its first line does not exist',
    'exec: "nothing": executable file not found in $PATH',
    'fork/exec /w/bin/none: no such file or directory',
    'invalid \'cmd\' parameter: command "x" not found',
  ];
  assert.deepEqual([...new Set(missing.map(statusOfNotStarted))], [127]);
  const refused = [
    '"no such program" is not executable',
    '"x" is not a directory',
    '"./plain/x": ENOTDIR',
    'fork/exec /w/x: permission denied',
    '',
  ];
  assert.deepEqual([...new Set(refused.map(statusOfNotStarted))], [126]);
});
