import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CroftError } from '@croft/runtime/errors';
import { commandSpec } from './command-spec.ts';
import { goDuration, parseDuration } from './durations.ts';
import { expandPath, parseEnv } from './env-list.ts';
import { watchFor } from './until-match.ts';

const invalid = (error: unknown): boolean => error instanceof CroftError && error.code === 'invalid';

test('of several -e for one name the last counts, where it stands (RUN-1)', () => {
  assert.deepEqual(Object.entries(parseEnv(['k1=v1', 'K1=V2', 'k1=v3'])), [
    ['K1', 'V2'],
    ['k1', 'v3'],
  ]);
  assert.deepEqual(parseEnv(['A=b=c', '', 'E=']), { A: 'b=c', E: '' });
  assert.throws(() => parseEnv(['novalue']), invalid);
});

test('-path replaces PATH, with its old value and the work directory where they are named', () => {
  const ground = { workDir: '/w', path: '/bin:/usr/bin' };
  assert.equal(expandPath('$WORKDIR/x,$PATH', ground), '/w/x:/bin:/usr/bin');
  assert.equal(expandPath('EMPTY', ground), '');
  assert.equal(expandPath('', ground), '/bin:/usr/bin', 'as Go’s tools have it by default');
  assert.equal(expandPath('C,$PATH', { workDir: 'C:\\w', path: 'P' }), 'C;P');
});

describe('a command', () => {
  const placed = (words: string[], dir?: string, system?: boolean): unknown => {
    const { argv, dir: where } = commandSpec(words, { e: [], ...(dir === undefined ? {} : { dir }), ...(system ? { system } : {}) });
    return [argv, where];
  };

  test('with a slash is of the work directory and runs in its own', () => {
    assert.deepEqual(placed(['go/src/make.bash', '-v']), [['./make.bash', '-v'], 'go/src']);
    assert.deepEqual(placed(['go/bin/go', 'test'], 'app'), [['../go/bin/go', 'test'], 'app']);
    assert.deepEqual(placed(['./x'], '.'), [['./x'], '.']);
  });

  test('may have -- before it, and is no option', () => {
    assert.deepEqual(placed(['--', 'ls', '-l']), [['ls', '-l'], undefined]);
    for (const words of [[], ['--'], ['--json', 'ls'], ['--', '-v']]) assert.throws(() => placed(words), invalid, words.join(' '));
  });

  test('without one is looked up, where builds begin', () => {
    assert.deepEqual(placed(['make']), [['make'], undefined]);
    assert.deepEqual(placed(['make'], 'app'), [['make'], 'app']);
  });

  test('of the system runs in the work directory', () => {
    assert.deepEqual(placed(['/bin/ls']), [['/bin/ls'], '.']);
    assert.deepEqual(placed(['ls'], undefined, true), [['ls'], '.']);
  });
});

test('times are read and written as Go does', () => {
  assert.equal(parseDuration('1h30m', 'x'), 5_400_000);
  for (const bad of ['', '1', '1x', 'h', '1h ', '-1h', '0s']) assert.throws(() => parseDuration(bad, 'x'), invalid, bad);
  assert.deepEqual([goDuration(1_799_600), goDuration(3_605_000), goDuration(-5), goDuration(59_000)], ['30m0s', '1h0m5s', '0s', '59s']);
});

test('a pattern is found over the edges of pieces, in a last line without an end, and per line', async () => {
  const seen: string[] = [];
  const sink = async (bytes: Uint8Array): Promise<void> => void seen.push(Buffer.from(bytes).toString());
  const watch = watchFor(/^FAIL$/);
  const write = watch.through(sink);
  await write(Buffer.from('ok FAIL\nFA'));
  assert.equal(watch.found, false);
  await write(Buffer.from('IL'));
  watch.finish();
  assert.deepEqual([watch.found, seen.join('')], [true, 'ok FAIL\nFAIL']);
});
