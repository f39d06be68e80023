/**
 * What a coordinator asks of a buildlet in the course of a build, as one story that every version of the client can play: steps that a
 * version did not have yet are left out of it. What comes of each step is told in words that do not depend on time, chance or the machine.
 */
import { parseRunId } from '@croft/domain/names';
import type { Buildlet } from '@croft/buildlet/client';
import type { RunSpec } from '@croft/protocol/runs';
import { isCode } from '@croft/runtime/errors';

/** A tar.gz with `file`, which holds `hello`. */
export const source = Buffer.from(
  'H4sIAAAAAAACA0vLzElloDEwAAIzExMwDQToNEiWwdDU0MjU2NjEBCRuaGBgbs6gYMBAB1BaXJJYBHQKNTyJ7LkhAjJSc3LyuRhGwSgYBaNgFIwwAAD8zWqEAAgAAA==',
  'base64',
);
const epoch = 1;

/** @param version of the transcript that is made or replayed */
export async function playStory(buildlet: Buildlet, version: string): Promise<Record<string, unknown>> {
  const told: Record<string, unknown> = {};
  const { Version, Croft } = await buildlet.status({});
  told['status'] = { isGo: Version >= 23, epoch: Croft?.epoch, runs: Croft?.runs };
  told['work directory'] = (await buildlet.workDir({})).startsWith('/');
  await buildlet.putTarGz('src', pieces(), epoch, { source: 'B1.1' });
  await playCommands(buildlet, told);
  await playRefusals(buildlet, told);
  const archive: Buffer[] = [];
  for await (const piece of buildlet.getTarGz('src', ['file'], epoch + 1, { gzipLevel: 0 })) archive.push(piece);
  told['archive'] = Buffer.concat(archive).readUInt16BE() === 0x1f8b;
  await buildlet.removeAll(['src'], epoch + 1, {});
  const port = await buildlet.portFor('B1.1.db', {});
  told['port'] = { given: port > 0, open: await buildlet.isOpen(port, {}) };
  if (version !== 'v0.1') await playSecond(buildlet, told);
  await buildlet.halt(epoch + 1, {});
  return told;
}

async function playCommands(buildlet: Buildlet, told: Record<string, unknown>): Promise<void> {
  const [hello, signalled, cancelled, missing] = ['hello', 'signalled', 'cancelled', 'missing'].map((name) => parseRunId(`B1.1.${name}`));
  if (!hello || !signalled || !cancelled || !missing) return;
  const helloSpec = shell('cat src/file; echo err >&2; exit 3');
  await buildlet.startOrAttach(hello, helloSpec, epoch, { source: 'B1.1' });
  told['hello'] = await endOf(buildlet, hello);
  const output: Buffer[] = [];
  for await (const piece of buildlet.output(hello, 2, {})) output.push(Buffer.from(piece));
  told['output from 2'] = Buffer.concat(output).toString();
  await buildlet.ack(hello, 4, epoch, {});
  told['attached'] = (await buildlet.startOrAttach(hello, helloSpec, epoch, {})).state;
  told['another body'] = await codeOf(buildlet.startOrAttach(hello, shell('true'), epoch, {}));
  told['another source'] = await codeOf(buildlet.startOrAttach(parseRunId('B1.1.late'), shell('true'), epoch, { source: 'B2.1' }));
  await buildlet.startOrAttach(signalled, shell('exec sleep 600'), epoch, {});
  await buildlet.signal(signalled, 'SIGTERM', epoch, {});
  told['signalled'] = await endOf(buildlet, signalled);
  await buildlet.startOrAttach(cancelled, shell('exec sleep 600'), epoch, {});
  const { state } = await buildlet.cancel(cancelled, 'nobody wants it', epoch, {});
  told['cancelled'] = [state, await endOf(buildlet, cancelled)];
  await buildlet.startOrAttach(missing, { ...helloSpec, argv: ['no-such-program'] }, epoch, {});
  told['missing'] = ((await endOf(buildlet, missing)) as { kind?: string }).kind;
  told['uncollected'] = (await buildlet.runs({})).map(({ id }) => id);
}

async function playRefusals(buildlet: Buildlet, told: Record<string, unknown>): Promise<void> {
  const hello = parseRunId('B1.1.hello');
  await buildlet.collect(hello, epoch, {});
  told['collected'] = await buildlet.run(hello, {});
  await buildlet.collect(parseRunId('B1.1.missing'), epoch + 1, {});
  told['older lease'] = await codeOf(buildlet.startOrAttach(parseRunId('B1.1.stale'), shell('true'), epoch, {}));
  told['unknown'] = await buildlet.run(parseRunId('nothing'), {});
  told['acknowledged nothing'] = await codeOf(buildlet.ack(parseRunId('nothing'), 1, epoch + 1, {}));
}

/** What version 0.2 added. */
async function playSecond(buildlet: Buildlet, told: Record<string, unknown>): Promise<void> {
  const typed = parseRunId('B1.1.typed');
  await buildlet.startOrAttach(typed, { ...shell('cat'), input: true }, epoch + 1, {});
  told['size without a terminal'] = await codeOf(buildlet.resize(typed, { cols: 80, rows: 24 }, epoch + 1, {}));
  const content = Buffer.from('typed\n');
  const taken = await buildlet.writeStdin(typed, { from: 0, content }, epoch + 1, {});
  told['input'] = [taken, await buildlet.writeStdin(typed, { from: content.length, content: Buffer.of(), end: true }, epoch + 1, {})];
  const run = await buildlet.run(typed, { waitMs: 30_000 });
  told['typed'] = typeof run === 'string' || run.state === 'running' ? run : [run.exit, Object.keys(run.usage ?? {})];
  const output: Buffer[] = [];
  for await (const piece of buildlet.output(typed, 0, {})) output.push(Buffer.from(piece));
  told['echoed'] = Buffer.concat(output).toString();
  const { checks } = await buildlet.selfTest({ tools: ['sh', 'no-such-program'] }, {});
  told['self-test'] = checks.filter(({ name }) => name.startsWith('tool ')).map(({ name, ok }) => [name, ok]);
}

function shell(script: string): RunSpec {
  return { argv: ['sh', '-c', script], dir: '.', env: { GREETING: 'hi' }, limitMs: 60_000, outputLimitBytes: 1 << 20 };
}

async function endOf(buildlet: Buildlet, id: ReturnType<typeof parseRunId>): Promise<unknown> {
  const run = await buildlet.run(id, { waitMs: 30_000 });
  if (typeof run === 'string' || run.state === 'running') return run;
  const { exit } = run;
  return exit.kind === 'not-started' ? { kind: exit.kind } : exit;
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'done';
  } catch (error) {
    const codes = ['conflict', 'stale', 'not-found', 'invalid', 'unavailable'] as const;
    return codes.find((code) => isCode(error, code)) ?? (error as { code?: string }).code ?? String(error);
  }
}

async function* pieces(): AsyncGenerator<Buffer> {
  yield source;
}
