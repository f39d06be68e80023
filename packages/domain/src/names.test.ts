import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CroftError, isCode } from '@croft/runtime/errors';
import {
  parseBuilderName,
  parseBuildId,
  parseLeaseId,
  parseMachineId,
  parseRepoName,
  parseRevision,
  parseRunId,
  parseStepName,
  runId,
} from './names.ts';

const hex = (length: number): fc.Arbitrary<string> => fc.stringMatching(new RegExp(`^[0-9a-f]{${length}}$`));
const word = (first: string, rest: string, most: number): fc.Arbitrary<string> =>
  fc.stringMatching(new RegExp(`^[${first}][${rest}]{0,${most - 1}}$`));
const name = word('A-Za-z0-9', 'A-Za-z0-9._-', 100);

const parsers: Record<string, { parse: (text: string) => string; good: fc.Arbitrary<string>; most: number }> = {
  'builder name': { parse: parseBuilderName, good: name, most: 100 },
  'repository name': { parse: parseRepoName, good: name, most: 100 },
  'machine id': { parse: parseMachineId, good: name, most: 100 },
  revision: { parse: parseRevision, good: fc.oneof(hex(40), hex(64)), most: 64 },
  'build id': { parse: parseBuildId, good: hex(16).map((digits) => `B${digits}`), most: 17 },
  'lease id': { parse: parseLeaseId, good: hex(16).map((digits) => `L${digits}`), most: 17 },
  'run id': { parse: parseRunId, good: word('A-Za-z0-9', 'A-Za-z0-9._-', 200), most: 200 },
  'step name': { parse: parseStepName, good: word('a-z0-9', 'a-z0-9._-', 40), most: 40 },
};

const hostilePaths = [
  '',
  ' ',
  '.',
  '..',
  '../etc',
  'a/b',
  'a\\b',
  '/a',
  '-rf',
  '--upload-pack=x',
  '_a',
  '~',
  '*',
  '__proto__',
  'a%2fb',
  'a:b',
];
const hostileText = [
  'a b',
  ' a',
  'a ',
  'a\n',
  '\na',
  'a\0',
  'a\u202eb',
  'ä',
  'ａ',
  'a;b',
  'a$(b)',
  'a`b`',
  "a'b",
  'a"b',
  '<b>',
  'a@b',
  'a\r\nSet-Cookie: x',
];
const hostile = [...hostilePaths, ...hostileText];

for (const [what, { parse, good, most }] of Object.entries(parsers)) {
  test(`a ${what} of the right shape is taken as it is`, () => {
    fc.assert(fc.property(good, (text) => parse(text) === text));
  });

  test(`a ${what} is one harmless path segment, or refused`, () => {
    const harmless = new RegExp(`^[A-Za-z0-9][A-Za-z0-9._-]{0,${most - 1}}$`);
    const nearly = fc
      .tuple(good, fc.constantFrom(...hostile), fc.nat(most))
      .map(([text, bad, at]) => text.slice(0, at) + bad + text.slice(at));
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.constantFrom(...hostile), nearly), (text) => {
        try {
          assert.match(parse(text), harmless);
        } catch (error) {
          assert.ok(isCode(error, 'invalid'));
        }
      }),
      { numRuns: 500 },
    );
    for (const text of hostile)
      assert.throws(
        () => parse(text),
        (error) => isCode(error, 'invalid'),
        JSON.stringify(text),
      );
  });

  test(`a refused ${what} is named, cut short and quoted`, () => {
    assert.throws(
      () => parse(`\n${'x'.repeat(10_000)}`),
      (error) => error instanceof CroftError && error.message.startsWith(`${what} "\\nxxx`) && error.message.length < 300,
    );
  });
}

test('a revision is a full, lower-case object id', () => {
  for (const text of ['HEAD', 'main', 'a'.repeat(39), 'a'.repeat(41), 'a'.repeat(63), 'A'.repeat(40), `${'a'.repeat(40)}\n`]) {
    assert.throws(
      () => parseRevision(text),
      (error) => isCode(error, 'invalid'),
      text,
    );
  }
});

test('a run is named by build, attempt and step, and no two of them share a name', () => {
  const build = parseBuildId('B0123456789abcdef');
  assert.equal(runId(build, 1, 'test'), 'B0123456789abcdef.1.test');
  const step = word('a-z0-9', 'a-z0-9._-', 40);
  const attempt = fc.integer({ min: 1, max: 1e6 });
  fc.assert(
    fc.property(attempt, step, attempt, step, (n, a, m, b) => {
      assert.equal(runId(build, n, a) === runId(build, m, b), n === m && a === b);
    }),
  );
});
