import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Secret } from './config.ts';
import { CroftError } from './errors.ts';
import { createLog, silentLog, type Log, type LogLevel } from './log.ts';

type Line = Record<string, unknown>;

/** The lines that `write` causes. */
async function linesOf(write: (log: Log) => void, level: LogLevel = 'debug'): Promise<Line[]> {
  return (await textOf(write, level))
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Line);
}

async function textOf(write: (log: Log) => void, level: LogLevel = 'debug'): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'croft-log-'));
  try {
    const file = join(dir, 'made', 'croft.log');
    write(createLog({ level, file, service: 'coordinator' }));
    return await readFile(file, 'utf8');
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function fieldsOf(fields: Record<string, unknown>): Promise<Line> {
  const [line] = await linesOf((log) => log.error('it happened', fields));
  assert.ok(line);
  return line;
}

test('a line is JSON with level, time, service, fields and message', async () => {
  const [line] = await linesOf((log) => log.info('build finished', { build: 'B1', elapsedMs: 12 }));
  assert.ok(line);
  const { time, ...rest } = line;
  assert.deepEqual(rest, { level: 30, service: 'coordinator', build: 'B1', elapsedMs: 12, msg: 'build finished' });
  assert.match(String(time), /^\d{4}-\d\d-\d\dT.*Z$/);
});

test('lines below the level are left out', async () => {
  const write = (log: Log): void => {
    log.debug('a');
    log.info('b');
    log.warn('c');
    log.error('d');
  };
  assert.deepEqual(
    (await linesOf(write, 'warn')).map((line) => line['msg']),
    ['c', 'd'],
  );
  assert.deepEqual(await linesOf(write, 'silent'), []);
});

test('a log with fields adds them to each of its lines, and to those of its children', async () => {
  const [line] = await linesOf((log) => log.with({ build: 'B1' }).with({ attempt: 2 }).warn('slow', { step: 'test' }));
  assert.deepEqual([line?.['build'], line?.['attempt'], line?.['step']], ['B1', 2, 'test']);
});

test('an error is printed with message, code, stack and its causes to the root', async () => {
  const root = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
  const middle = new CroftError('exhausted', 'writing a segment', { cause: root, hint: 'Free some disk.', fields: { segment: 3 } });
  const error = new CroftError('internal', 'storing the log', { cause: middle });
  const printed = (await fieldsOf({ error }))['error'] as Line;
  assert.deepEqual([printed['name'], printed['code'], printed['message']], ['CroftError', 'internal', 'storing the log']);
  assert.match(String(printed['stack']), /log\.test\.ts/);
  const inner = printed['cause'] as Line;
  assert.deepEqual([inner['code'], inner['hint'], inner['segment']], ['exhausted', 'Free some disk.', 3]);
  const innermost = inner['cause'] as Line;
  assert.deepEqual([innermost['code'], innermost['message']], ['ENOSPC', 'no space left on device']);
});

test('errors under any key, in lists and in bundles of errors are printed', async () => {
  const bundle = new AggregateError([new Error('one'), new Error('two')], 'both failed');
  const line = await fieldsOf({ error: bundle, failures: [new TypeError('three')], thrown: 'just a text' });
  const errors = (line['error'] as Line)['errors'] as Line[];
  assert.deepEqual(
    errors.map((error) => error['message']),
    ['one', 'two'],
  );
  assert.equal((line['failures'] as Line[])[0]?.['message'], 'three');
  assert.equal(line['thrown'], 'just a text');
});

test('an error that is its own cause ends', async () => {
  const error = new Error('round');
  error.cause = error;
  assert.equal(((await fieldsOf({ error }))['error'] as Line)['message'], 'round');
});

test('secrets are not printed, wherever they stand', async () => {
  const secret = new Secret('hunter2');
  const text = await textOf((log) => {
    const child = log.with({ token: 'hunter2', secret, nested: { password: 'hunter2' } });
    child.info('a', { Authorization: 'Basic hunter2', headers: { cookie: 'hunter2', 'set-cookie': ['hunter2'], 'X-Api-Key': 'hunter2' } });
    child.info('b', { list: [secret, { deep: { masterPassword: 'hunter2' } }], key: 'hunter2', map: new Map([['token', 'hunter2']]) });
    const cause = Object.assign(new Error('inner'), { name: 'Inner' });
    child.error('c', { error: new CroftError('forbidden', 'asking', { cause, fields: { password: 'hunter2', secret } }) });
    child.warn('d', { error: new Error('asking', { cause: secret }) });
  });
  assert.equal(text.trim().split('\n').length, 4);
  assert.doesNotMatch(text, /hunter2/);
});

test('a password in an address is not printed, not even inside an error', async () => {
  const url = 'https://bot:hunter2@example.org/repo.git';
  const text = await textOf((log) => log.error('fetch failed', { url, parsed: new URL(url), error: new Error(`git fetch ${url} failed`) }));
  assert.doesNotMatch(text, /hunter2/);
  assert.match(text, /https:\/\/\[secret\]@example\.org\/repo\.git/);
});

test('names that only look like secrets stay, and so do absent values', async () => {
  const line = await fieldsOf({ keyCount: 3, monkey: 'see', secret: null, token: undefined, lockKeys: ['a'] });
  assert.deepEqual([line['keyCount'], line['monkey'], line['secret'], line['lockKeys']], [3, 'see', null, ['a']]);
});

test('no value breaks or floods the log', async () => {
  const loop: Record<string, unknown> = {
    bytes: Buffer.alloc(9),
    big: 2n ** 70n,
    when: new Date(0),
    never: new Date(Number.NaN),
    set: new Set(['x']),
  };
  loop['self'] = loop;
  const wide = Array.from({ length: 10_000 }, (_, index) => index);
  const text = await textOf((log) => log.info('odd', { loop, wide, long: 'x'.repeat(1_000_000), breaks: 'a\nb\u2028c', call: () => 1 }));
  assert.equal(text.split('\n').length, 2);
  assert.ok(text.length < 32_768, `${text.length}`);
  const line = JSON.parse(text) as { loop: Line };
  assert.deepEqual(
    [line.loop['bytes'], line.loop['big'], line.loop['when'], line.loop['set']],
    ['[9 bytes]', String(2n ** 70n), '1970-01-01T00:00:00.000Z', ['x']],
  );
});

test('a full disk does not end what is being logged about', { skip: process.platform !== 'linux' && 'needs /dev/full' }, () => {
  const log = createLog({ level: 'info', file: '/dev/full', service: 'coordinator' });
  for (let line = 0; line < 1_000; line += 1) log.error('disk full', { filler: 'x'.repeat(10_000) });
});

test('a log file that cannot be opened is named, with what to do', () => {
  assert.throws(
    () => createLog({ level: 'info', file: '/dev/null/croft.log', service: 'coordinator' }),
    (error) =>
      error instanceof CroftError && error.code === 'invalid' && error.message.includes('/dev/null/croft.log') && error.hint !== undefined,
  );
});

test('the silent log takes everything and says nothing', () => {
  silentLog.with({ a: 1 }).error('x', { error: new Error('y') });
  assert.equal(silentLog.with({}), silentLog);
});
