/** What is particular about machines that know no runs: what is lost, what is held up, what they cannot do. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { parseRunId } from '@croft/domain/names';
import type { RunSpec } from '@croft/protocol/runs';
import { SECOND, systemClock } from '@croft/runtime/clock';
import { errorText, isCode, type CroftError, type ErrorCode } from '@croft/runtime/errors';
import { systemRandom } from '@croft/runtime/random';
import { packTarGz, type TarEntry } from '@croft/streams/tar-pack';
import { createFakeMachine, type FakeCommand, type FakeMachine } from './fake.ts';
import { below, goCommand } from './go/go-command.ts';
import { createGoBuildlet, type GoBuildlet, type GoBuildletOptions } from './go-buildlet.ts';

const id = parseRunId('B0.1.test');
const waits = { signal: systemClock.deadline(60 * SECOND) };
const withCode =
  (code: ErrorCode, text = /^/) =>
  (error: unknown) =>
    (isCode(error, code) && text.test(errorText(error))) || assert.fail(`not "${code}": ${errorText(error)}`);

interface Stage extends AsyncDisposable {
  readonly machine: FakeMachine;
  readonly buildlet: GoBuildlet;
  readonly spoolDir: string;
  /** Another coordinator, or the same one started again, on the same machine. */
  another(): GoBuildlet;
}

async function stage(commands: Record<string, FakeCommand>, options: Partial<GoBuildletOptions> = {}): Promise<Stage> {
  await using stack = new AsyncDisposableStack();
  const spoolDir = await mkdtemp(join(tmpdir(), 'croft-spool-'));
  stack.defer(() => rm(spoolDir, { recursive: true, force: true }));
  const machine = stack.use(createFakeMachine({ clock: systemClock, commands }));
  const deps = { clock: systemClock, random: systemRandom, spoolDir, ...options };
  const another = (): GoBuildlet => owned.use(createGoBuildlet(machine.address, deps));
  const buildlet = stack.use(createGoBuildlet(machine.address, deps));
  const owned = stack.move();
  return { machine, buildlet, spoolDir, another, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

function spec(...argv: string[]): RunSpec {
  return { argv, dir: '.', env: {}, limitMs: 60 * SECOND, outputLimitBytes: 1e9 };
}

async function* oneFile(): AsyncGenerator<TarEntry> {
  yield { kind: 'file', path: Buffer.from('a'), mode: 0o644, size: 1, mtime: 0, content: Buffer.from('a') };
}

const hang: FakeCommand = ({ signal }) => new Promise((resolve) => signal.addEventListener('abort', () => resolve('signal: killed')));

test('after a restart of the coordinator nothing of before is known, and a step does not start in its tree', async () => {
  await using at = await stage({ true: () => 0 });
  await at.buildlet.putTarGz('tree', packTarGz(oneFile()), 1, { ...waits, source: 'B0.1' });
  await at.buildlet.startOrAttach(id, spec('true'), 1, { ...waits, source: 'B0.1' });
  const next = at.another();
  assert.notEqual(next.boot, at.buildlet.boot);
  assert.equal(await next.run(id, waits), 'unknown');
  assert.deepEqual(await next.runs(waits), []);
  const start = next.startOrAttach(id, spec('true'), 1, { ...waits, source: 'B0.1' });
  await assert.rejects(start, withCode('conflict', /keeps nothing over a restart of the coordinator/));
  assert.equal((await next.status(waits)).Croft, undefined);
});

test('a command whose connection is cut is lost, with what was seen of it kept', async () => {
  const speak: FakeCommand = async (call) => {
    await call.write('begun');
    return hang(call);
  };
  await using at = await stage({ speak });
  await at.buildlet.startOrAttach(id, spec('speak'), 1, waits);
  const pieces: string[] = [];
  for await (const piece of at.buildlet.output(id, 0, waits)) {
    pieces.push(String(piece));
    at.machine.become('away');
  }
  assert.deepEqual(pieces, ['begun']);
  const run = await at.buildlet.run(id, { ...waits, waitMs: 10_000 });
  assert.ok(typeof run !== 'string' && run.state === 'ended' && run.exit.kind === 'lost');
  assert.match(run.exit.reason, /error copying response/);
});

test('a machine that cannot be reached starts nothing and leaves no run behind', async () => {
  await using at = await stage({ true: () => 0 });
  at.machine.become('away');
  await assert.rejects(at.buildlet.startOrAttach(id, spec('true'), 1, waits), withCode('unavailable'));
  assert.equal(await at.buildlet.run(id, waits), 'unknown');
  at.machine.become('here');
  await at.buildlet.startOrAttach(id, spec('true'), 1, waits);
  const run = await at.buildlet.run(id, { ...waits, waitMs: 10_000 });
  assert.ok(typeof run !== 'string' && run.state === 'ended');
});

test('a command waits while its output is not acknowledged, and goes on when it is', async () => {
  const piece = 65_536;
  let written = 0;
  const flood: FakeCommand = async ({ write }) => {
    for (; written < 200 * piece; written += piece) await write(Buffer.alloc(piece));
    return 0;
  };
  await using at = await stage({ flood }, { spoolLimitBytes: 4 * piece });
  await at.buildlet.startOrAttach(id, spec('flood'), 1, waits);
  let came = 0;
  for await (const bytes of at.buildlet.output(id, 0, waits)) {
    came += bytes.length;
    assert.ok(written - came < 100 * piece, 'what lies between is bounded');
    if (came >= 4 * piece) await at.buildlet.ack(id, came, 1, waits);
  }
  assert.equal(came, 200 * piece);
});

test('output lies in the directory that was given, and is gone at the end', async () => {
  await using at = await stage({ echo: async ({ write }) => (await write('x'), 0), hang });
  await at.buildlet.startOrAttach(id, spec('echo'), 1, waits);
  await at.buildlet.startOrAttach(parseRunId('B0.1.hang'), spec('hang'), 1, waits);
  assert.deepEqual(await readdir(join(at.spoolDir, at.buildlet.boot)), ['1', '2']);
  await at.buildlet[Symbol.asyncDispose]();
  assert.deepEqual(await readdir(at.spoolDir), []);
});

test('what the machine cannot do is refused in words, as a machine that does not fit', async () => {
  await using at = await stage({});
  await assert.rejects(at.buildlet.signal(id, 'SIGTERM', 1, waits), withCode('exhausted', /sends no SIGTERM/));
  const pty = { cols: 80, rows: 24, term: 'xterm' };
  await assert.rejects(at.buildlet.startOrAttach(id, { ...spec('true'), pty }, 1, waits), withCode('exhausted', /has no terminals/));
  await assert.rejects(at.buildlet.startOrAttach(id, { ...spec('true'), input: true }, 1, waits), withCode('exhausted', /no input/));
  await assert.rejects(at.buildlet.portFor('x', waits), withCode('exhausted', /gives no ports/));
  await assert.rejects(at.buildlet.isOpen(80, waits), withCode('exhausted'));
});

test('an upload under an older epoch ends when a newer one comes', async () => {
  await using at = await stage({});
  async function* endless(): AsyncGenerator<Uint8Array> {
    yield* packTarGz(oneFile());
    await new Promise(() => undefined);
  }
  const sent = at.buildlet.putTarGz('tree', endless(), 1, waits);
  const refused = assert.rejects(sent, withCode('stale'));
  await at.buildlet.removeAll(['tree'], 2, waits);
  await refused;
});

test('a halt ends the machine, and its death is told once', async () => {
  const deaths: CroftError[] = [];
  await using at = await stage({}, { onDead: (why) => void deaths.push(why) });
  await at.buildlet.status(waits);
  await at.buildlet.halt(undefined, waits);
  await at.buildlet.halt(undefined, waits);
  assert.ok(at.machine.isHalted);
  assert.equal(deaths.length, 1);
});

test('commands become absolute paths, whatever Go’s version makes of others', () => {
  const command = (over: Partial<RunSpec>, workDir = '/w') => {
    const { command: program, options } = goCommand({ ...spec('true'), ...over }, workDir);
    return [program, options.dir, ...(options.args ?? [])];
  };
  assert.deepEqual(command({}), ['true', '/w']);
  assert.deepEqual(command({ argv: ['./x', 'y'], dir: 'a/b' }), ['/w/a/b/x', '/w/a/b', 'y']);
  assert.deepEqual(command({ argv: ['/bin/sh'], dir: 'a' }), ['/bin/sh', '/w/a']);
  assert.deepEqual(command({ argv: ['go', 'test'], env: { PATH: '/w/go/bin' } }), ['/usr/bin/env', '/w', 'go', 'test']);
  assert.deepEqual(command({ argv: ['bin\\x.exe'], dir: 'a' }, 'C:\\workdir'), ['C:\\workdir\\a\\bin\\x.exe', 'C:\\workdir\\a']);
  assert.deepEqual(command({ argv: ['cmd'], env: { PATH: 'x' } }, 'C:\\workdir'), ['cmd', 'C:\\workdir']);
  assert.throws(() => command({ dir: '../x' }), withCode('invalid'));
  assert.throws(() => command({ env: { META_password: 'x' } }), withCode('invalid'));
});

test('no name that is sent leads out of the work directory', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom('..', '.', 'a', 'b..', '', 'c\\d'), { minLength: 1 }), (parts) => {
      try {
        const name = below(parts.join('/'));
        assert.ok(!name.startsWith('/') && !name.split('/').includes('..') && !name.includes('\\'), name);
      } catch (error) {
        assert.ok(isCode(error, 'invalid'));
      }
    }),
  );
});
