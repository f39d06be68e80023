/** What everything behind the port `Buildlet` does, whatever machine is there. Each kind of machine, and each way to it, runs this suite. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { parseRunId, type RunId } from '@croft/domain/names';
import type { Exit } from '@croft/domain/outcome';
import type { Run, RunSpec } from '@croft/protocol/runs';
import { SECOND, systemClock } from '@croft/runtime/clock';
import { errorText, isCode, type ErrorCode } from '@croft/runtime/errors';
import { packTarGz, type TarEntry } from '@croft/streams/tar-pack';
import { readTarGz } from '@croft/streams/tar-read';
import type { Buildlet } from './client.ts';
import type { FakeCall, FakeCommand } from './fake.ts';

export interface BuildletStage extends AsyncDisposable {
  readonly buildlet: Buildlet;
}

const epoch = 7;
const waits = { signal: systemClock.deadline(100 * SECOND) };
const withCode = (code: ErrorCode) => (error: unknown) => isCode(error, code) || assert.fail(`not "${code}": ${errorText(error)}`);
const id = (name: string): RunId => parseRunId(`B0.1.${name}`);

/** @param open a machine with an empty work directory */
export function buildletContract(name: string, open: () => Promise<BuildletStage>, { skip }: { skip?: string | undefined } = {}): void {
  describe(`${name} behind the port`, { skip: skip ?? false }, () => {
    let stage: BuildletStage;
    before(async () => void (stage = await open()));
    after(() => stage[Symbol.asyncDispose]());
    const at = (): Buildlet => stage.buildlet;
    aboutRuns(at);
    aboutOutput(at);
    aboutFiles(at);
    aboutLeases(at); // the last one: a higher epoch is never taken back
  });
}

function aboutRuns(at: () => Buildlet): void {
  test('says that it is there, and where it works', async () => {
    assert.ok((await at().status(waits)).Version >= 25);
    assert.match(await at().workDir(waits), /^\//);
  });

  test('tells each way to end apart', async () => {
    assert.deepEqual(await exitOf(at(), 'zero', shell('exit 0')), { kind: 'exited', code: 0 });
    assert.deepEqual(await exitOf(at(), 'three', shell('exit 3')), { kind: 'exited', code: 3 });
    assert.deepEqual(await exitOf(at(), 'killed', shell('kill -KILL $$')), { kind: 'signalled', signal: 'SIGKILL' });
    assert.equal((await exitOf(at(), 'no-program', { ...shell(''), argv: ['no-such-program'] })).kind, 'not-started');
    assert.equal((await exitOf(at(), 'no-directory', { ...shell('exit 0'), dir: 'no/such' })).kind, 'not-started');
  });

  test('starts once what is asked for again and again, and nothing else under the same id', async () => {
    const spec = shell('printf x >> count');
    await Promise.all(Array.from({ length: 5 }, () => at().startOrAttach(id('once'), spec, epoch, waits)));
    await endOf(at(), 'once');
    assert.equal((await at().startOrAttach(id('once'), spec, epoch, waits)).state, 'ended');
    assert.equal(await textOf(at(), 'count', shell('cat count')), 'x');
    await assert.rejects(at().startOrAttach(id('once'), shell('exit 1'), epoch, waits), withCode('conflict'));
  });

  test('kills what runs too long, writes too much or is cancelled, and says which', async () => {
    const tooLong = await exitOf(at(), 'long', { ...shell('sleep 600'), limitMs: 300 });
    assert.ok(tooLong.kind === 'over-limit' && tooLong.limit === 'time');
    const tooMuch = await exitOf(at(), 'much', { ...shell('head -c 4000000 /dev/zero'), outputLimitBytes: 1_000_000 });
    assert.ok(tooMuch.kind === 'over-limit' && tooMuch.limit === 'output');
    assert.equal((await endOf(at(), 'much')).output.length, 1_000_000);
    await at().startOrAttach(id('cancelled'), shell('sleep 600'), epoch, waits);
    const cancelled = await at().cancel(id('cancelled'), 'nobody wants it', epoch, waits);
    assert.deepEqual(exitIn(cancelled), { kind: 'killed', reason: 'nobody wants it' });
    assert.deepEqual(exitIn(await at().cancel(id('cancelled'), 'again', epoch, waits)), exitIn(cancelled));
  });

  test('gives a command its variables and its directory', async () => {
    await at().putTarGz('sub', packTarGz(files({ 'a.txt': 'a' })), epoch, waits);
    const spec = { ...shell('echo "$GREETING"; pwd'), dir: 'sub', env: { GREETING: 'hello, world' } };
    assert.match(await textOf(at(), 'variables', spec), /^hello, world\n\/.*\/sub\n$/);
  });

  test('lists what was not collected, and holds an answer until the end', async () => {
    await at().startOrAttach(id('listed'), shell('sleep 600'), epoch, waits);
    assert.equal((await at().runs(waits)).find((run) => run.id === id('listed'))?.state, 'running');
    assert.equal((await endOf(at(), 'zero')).state, 'ended');
    const held = at().run(id('listed'), { ...waits, waitMs: 20 * SECOND });
    await at().cancel(id('listed'), 'enough', epoch, waits);
    assert.equal(exitIn(await held)?.kind, 'killed');
    assert.equal(await at().run(id('never'), waits), 'unknown');
  });

  test('forgets what is collected, once it has ended, and does not start it again', async () => {
    await at().startOrAttach(id('kept'), shell('sleep 600'), epoch, waits);
    await assert.rejects(at().collect(id('kept'), epoch, waits), withCode('conflict'));
    await at().cancel(id('kept'), 'enough', epoch, waits);
    for (let times = 0; times < 2; times += 1) await at().collect(id('kept'), epoch, waits);
    assert.equal(await at().run(id('kept'), waits), 'collected');
    await assert.rejects(at().startOrAttach(id('kept'), shell('sleep 600'), epoch, waits), withCode('not-found'));
  });
}

function aboutOutput(at: () => Buildlet): void {
  test('gives output in the order of the writes, again from any byte', async () => {
    await at().startOrAttach(id('order'), shell('echo out; echo err >&2; echo out'), epoch, waits);
    assert.equal(await outputFrom(at(), 'order', 0), 'out\nerr\nout\n');
    assert.equal(await outputFrom(at(), 'order', 4), 'err\nout\n');
    assert.equal(await outputFrom(at(), 'order', 12), '');
    await at().ack(id('order'), 4, epoch, waits);
    await assert.rejects(at().ack(id('order'), 13, epoch, waits), withCode('invalid'));
    assert.equal(await outputFrom(at(), 'order', 4), 'err\nout\n');
    await assert.rejects(outputFrom(at(), 'never', 0), withCode('not-found'));
  });

  test('gives megabytes whole to a slow reader', async () => {
    await at().startOrAttach(id('megabytes'), shell('head -c 4000000 /dev/zero'), epoch, waits);
    let bytes = 0;
    for await (const piece of at().output(id('megabytes'), 0, waits)) {
      bytes += piece.length;
      await at().ack(id('megabytes'), bytes, epoch, waits);
    }
    assert.equal(bytes, 4_000_000);
    assert.equal((await endOf(at(), 'megabytes')).output.length, bytes);
  });

  test('stops giving output when nobody wants it any more, and the command goes on', async () => {
    const reading = new AbortController();
    await at().startOrAttach(id('left'), shell('echo out; sleep 600'), epoch, waits);
    const read = async (): Promise<void> => {
      for await (const _ of at().output(id('left'), 0, { signal: reading.signal })) reading.abort(new Error('enough'));
    };
    await assert.rejects(read());
    assert.equal(stateIn(await at().run(id('left'), waits)), 'running');
    await at().cancel(id('left'), 'enough', epoch, waits);
  });
}

function aboutFiles(at: () => Buildlet): void {
  test('brings files there and what patterns select back', async () => {
    await at().removeAll(['.'], epoch, waits);
    await at().putTarGz('tree', packTarGz(files({ 'a.txt': 'A', 'bin/run.sh': 'B', 'bin/deep/c.txt': 'C', 'd.log': 'D' })), epoch, waits);
    assert.equal(await textOf(at(), 'there', shell('cat tree/bin/run.sh')), 'B');
    assert.deepEqual(await archived(at(), 'tree', []), { 'a.txt': 'A', 'bin/run.sh': 'B', 'bin/deep/c.txt': 'C', 'd.log': 'D' });
    assert.deepEqual(await archived(at(), 'tree', ['*.txt', 'bin', '!bin/deep']), { 'a.txt': 'A', 'bin/run.sh': 'B' });
    assert.deepEqual(await archived(at(), 'tree/bin', ['**/*.txt']), { 'deep/c.txt': 'C' });
    await assert.rejects(archived(at(), 'nowhere', []), withCode('not-found'));
    await at().removeAll(['tree/bin', 'not/there'], epoch, waits);
    assert.deepEqual(await archived(at(), 'tree', []), { 'a.txt': 'A', 'd.log': 'D' });
  });

  test('keeps links as links, also where nothing else is', async () => {
    const links = { 'tree/to-file': 'a.txt', 'tree/only/link': '../a.txt', "tree/it's $(odd)": 'a.txt' };
    await at().removeAll(['.'], epoch, waits);
    await at().putTarGz('.', packTarGz(files({ 'tree/a.txt': 'A' }, links)), epoch, waits);
    assert.equal(await textOf(at(), 'through-link', shell('cat tree/only/link')), 'A');
    const found = await archived(at(), '.', ['tree']);
    assert.deepEqual(found, { 'tree/a.txt': 'A', ...Object.fromEntries(Object.entries(links).map(([name, to]) => [name, `-> ${to}`])) });
    await assert.rejects(at().putTarGz('.', packTarGz(files({}, { out: '../../etc' })), epoch, waits), withCode('invalid'));
  });

  test('knows what its work directory holds by name, until anything is sent or removed', async () => {
    const start = (name: string, source: string): Promise<Run> =>
      at().startOrAttach(id(name), shell('exit 0'), epoch, { ...waits, source });
    await at().putTarGz('named', packTarGz(files({ 'a.txt': 'A' })), epoch, { ...waits, source: 'B0.1' });
    await start('with-source', 'B0.1');
    await assert.rejects(start('other-source', 'B0.2'), withCode('conflict'));
    await assert.rejects(archived(at(), 'named', [], 'B0.2'), withCode('conflict'));
    assert.deepEqual(await archived(at(), 'named', [], 'B0.1'), { 'a.txt': 'A' });
    await at().putTarGz('beside', packTarGz(files({})), epoch, waits);
    await assert.rejects(start('late', 'B0.1'), withCode('conflict'));
    await start('with-source', 'B0.1'); // what runs is attached to without regard to it
  });

  test('takes nothing that would leave the work directory', async () => {
    await assert.rejects(at().putTarGz('../out', packTarGz(files({ a: 'a' })), epoch, waits), withCode('invalid'));
    await assert.rejects(at().removeAll(['..'], epoch, waits), withCode('invalid'));
    await assert.rejects(at().removeAll(['/etc/passwd'], epoch, waits), withCode('invalid'));
    await assert.rejects(archived(at(), '../..', []), withCode('invalid'));
  });
}

function aboutLeases(at: () => Buildlet): void {
  test('refuses whoever comes with an older epoch, and forgets under a newer one what was collected', async () => {
    await at().collect(id('zero'), epoch, waits);
    await at().startOrAttach(id('newer'), shell('exit 0'), epoch + 1, waits);
    assert.equal(await at().run(id('zero'), waits), 'unknown');
    await assert.rejects(at().startOrAttach(id('older'), shell('exit 0'), epoch, waits), withCode('stale'));
    await assert.rejects(at().removeAll(['tree'], epoch, waits), withCode('stale'));
    await assert.rejects(at().putTarGz('tree', packTarGz(files({})), epoch, waits), withCode('stale'));
    await assert.rejects(at().collect(id('newer'), epoch, waits), withCode('stale'));
  });
}

function shell(script: string): RunSpec {
  return { argv: ['sh', '-c', script], dir: '.', env: {}, limitMs: 60 * SECOND, outputLimitBytes: 100_000_000 };
}

async function exitOf(buildlet: Buildlet, name: string, spec: RunSpec): Promise<Exit> {
  await buildlet.startOrAttach(id(name), spec, epoch, waits);
  return exitIn(await endOf(buildlet, name)) ?? assert.fail('it goes on');
}

async function endOf(buildlet: Buildlet, name: string): Promise<Run> {
  const run = await buildlet.run(id(name), { ...waits, waitMs: 60 * SECOND });
  return typeof run === 'string' ? assert.fail(`run ${name} is ${run}`) : run;
}

function exitIn(run: Run | 'unknown' | 'collected'): Exit | undefined {
  return typeof run !== 'string' && run.state === 'ended' ? run.exit : undefined;
}

function stateIn(run: Run | 'unknown' | 'collected'): string {
  return typeof run === 'string' ? run : run.state;
}

async function textOf(buildlet: Buildlet, name: string, spec: RunSpec): Promise<string> {
  await buildlet.startOrAttach(id(name), spec, epoch, waits);
  return outputFrom(buildlet, name, 0);
}

async function outputFrom(buildlet: Buildlet, name: string, from: number): Promise<string> {
  return (await Array.fromAsync(buildlet.output(id(name), from, waits), String)).join('');
}

type Texts = Readonly<Record<string, string>>;

async function* files(contents: Texts, links: Texts = {}): AsyncGenerator<TarEntry> {
  for (const [path, text] of Object.entries(contents)) {
    const content = Buffer.from(text);
    yield { kind: 'file', path: Buffer.from(path), mode: 0o644, size: content.length, mtime: 1_700_000_000, content };
  }
  for (const [path, target] of Object.entries(links)) yield { kind: 'link', path: Buffer.from(path), target: Buffer.from(target) };
}

async function archived(buildlet: Buildlet, dir: string, match: readonly string[], source?: string): Promise<Record<string, string>> {
  const pieces = buildlet.getTarGz(dir, match, epoch, { ...waits, gzipLevel: 1, source });
  const found: Record<string, string> = {};
  for await (const { header, content } of readTarGz(pieces, { maxBytes: 1_000_000, maxEntries: 100 })) {
    const text = (await Array.fromAsync(content, String)).join('');
    if (header.type !== '5') found[header.name] = header.type === '2' ? `-> ${header.target}` : text;
  }
  return found;
}

/** The programs that the suite runs, for machines in memory. */
export const contractCommands: Readonly<Record<string, FakeCommand>> = {
  sh: ({ args, ...call }) => script(args[1] ?? '', call),
  '/bin/sh': ({ args, dir, tree }) => {
    const pairs = args.slice(3);
    for (let at = 0; at < pairs.length; at += 2) tree.put(`./${dir}/${pairs[at + 1]}`, { kind: 'link', target: pairs[at] ?? '' });
    return 0;
  },
};

async function script(text: string, { env, dir, tree, signal, write }: Omit<FakeCall, 'args'>): Promise<number | string> {
  for (const line of text.split('; ')) {
    const [word = '', argument = '', amount = ''] = line.split(' ');
    if (word === 'exit') return Number(argument);
    if (word === 'kill') return 'signal: killed';
    if (word === 'pwd') await write(`/workdir/${dir}\n`);
    if (word === 'echo') await write(`${argument === '"$GREETING"' ? env['GREETING'] : argument}\n`);
    if (word === 'cat') await write(tree.read(argument === 'tree/only/link' ? 'tree/a.txt' : `./${dir}/${argument}`));
    if (word === 'head') for (let left = Number(amount); left > 0; left -= 50_000) await write(Buffer.alloc(50_000));
    if (word === 'sleep') await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    if (word === 'printf') {
      const before = tree.find('count') ? tree.read('count').toString() : '';
      tree.put('count', { kind: 'file', mode: 0o644, mtimeAt: 0, content: Buffer.from(`${before}x`) });
    }
  }
  return 0;
}
