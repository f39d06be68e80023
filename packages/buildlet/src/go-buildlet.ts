/**
 * Drives one of Go's buildlets behind our port: runs are requests of `/exec` held open by this process, and end with it. Epochs, the
 * name of the source and what was collected are remembered here; a machine that comes anew, and a coordinator that does, begin
 * without. What the machine cannot do is refused in words. @see docs/protocols/go-client.md
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { maxWaitMs } from '@croft/protocol/runs';
import type { Clock, Waits } from '@croft/runtime/clock';
import { CroftError, isCode } from '@croft/runtime/errors';
import type { Random } from '@croft/runtime/random';
import { pourAll } from '@croft/streams/pour';
import type { BuildletAddress } from './address.ts';
import type { ArchiveWaits, Buildlet } from './client.ts';
import { createFence, type Fence } from './go/fence.ts';
import { filterArchive } from './go/filter-archive.ts';
import { below, goDirectory } from './go/go-command.ts';
import { createGoRuns, type GoRuns } from './go/go-runs.ts';
import { putLinks, watchLinks } from './go/links.ts';
import { createGoClient, type GoClient } from './go-client.ts';

export interface GoBuildletOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Where output lies until it is acknowledged, below a directory of its own; whoever owns it empties it at his start. */
  readonly spoolDir: string;
  /** Of each run, unacknowledged. */
  readonly spoolLimitBytes?: number | undefined;
  /** Once, when the machine is given up after three heartbeats, or was halted. */
  readonly onDead?: ((why: CroftError) => void) | undefined;
}

export interface GoBuildlet extends Buildlet {
  /** In the place of what our buildlets tell in their status: another one for each connection, over which nothing is known of before. */
  readonly boot: string;
}

const defaultSpoolBytes = 256 * 1024 * 1024;

/** Nothing is connected before the first call. Disposal ends what runs. */
export function createGoBuildlet(address: BuildletAddress, options: GoBuildletOptions): GoBuildlet {
  const { clock, random, spoolLimitBytes = defaultSpoolBytes, onDead } = options;
  const boot = random.hex(8);
  const spoolDir = join(options.spoolDir, boot);
  const client = createGoClient(address, { clock, onHeartbeatFailure: onDead });
  const runs = createGoRuns({ client, clock, spoolDir, spoolLimitBytes });
  const fence = createFence(() => runs.forgetCollected());
  const held: Held = { client, runs, fence, clock, source: undefined };
  return {
    boot,
    address,
    gzipLevel: address.socketPath === undefined ? 1 : 0,
    status: (waits) => client.status(waits),
    workDir: (waits) => client.workDir(waits),
    ...fileCalls(held),
    ...runCalls(held),
    ...refusedCalls(),
    writeStdin: async () => unable('gives a command no input'),
    resize: async () => unable('has no terminals'),
    signal: async (_id, name) => unable(`sends no ${name} to a command`),
    portFor: async () => unable('gives no ports to services'),
    selfTest: async () => unable('cannot test itself'),
    isOpen: async () => unable('tells nothing about its ports'),
    async halt(epoch, { signal }) {
      if (epoch !== undefined) fence.enter(epoch, signal);
      await client.close();
    },
    async [Symbol.asyncDispose]() {
      await runs[Symbol.asyncDispose]();
      await client[Symbol.asyncDispose]();
      await rm(spoolDir, { recursive: true, force: true });
    },
  };
}

function refusedCalls(): Pick<Buildlet, 'listTree' | 'connect' | 'sftp' | 'listen'> {
  return {
    listTree: () => unable('tells no SHA-256 of its files'),
    connect: async () => unable('gives no connections'),
    sftp: async () => unable('speaks no SFTP'),
    listen: async () => unable('listens for nobody'),
  };
}

interface Held {
  readonly client: GoClient;
  readonly runs: GoRuns;
  readonly fence: Fence;
  readonly clock: Clock;
  /** The name of what the work directory holds, as far as is known here. */
  source: string | undefined;
}

function fileCalls(held: Held): Pick<Buildlet, 'putTarGz' | 'getTarGz' | 'removeAll'> {
  const { client, fence } = held;
  return {
    async putTarGz(dir, body, epoch, { source, signal }) {
      const fenced = fence.enter(epoch, signal);
      held.source = undefined;
      const watched = watchLinks(body);
      await client.putTar(below(dir), watched.archive, { signal: fenced });
      const links = await watched.links();
      if (links.length > 0) {
        const root = goDirectory(dir, await client.workDir({ signal: fenced }));
        await putLinks(client, { dir: root, links }, { signal: fenced });
      }
      held.source = source;
    },
    async *getTarGz(dir, match, epoch, waits) {
      const signal = fence.enter(epoch, waits.signal);
      mustHold(held, `fetch files of "${dir}"`, waits.source);
      yield* archiveOf(client, below(dir), { match, gzipLevel: waits.gzipLevel, signal });
    },
    async removeAll(paths, epoch, { signal }) {
      const fenced = fence.enter(epoch, signal);
      held.source = undefined;
      await client.removeAll(paths.map(below), { signal: fenced });
    },
  };
}

function runCalls(held: Held): Pick<Buildlet, 'startOrAttach' | 'run' | 'runs' | 'output' | 'pourOutput' | 'ack' | 'cancel' | 'collect'> {
  const { client, runs, fence, clock } = held;
  return {
    async startOrAttach(id, spec, epoch, waits) {
      const signal = fence.enter(epoch, waits.signal);
      const mayBegin = (): void => {
        mustHold(held, `start run ${id}`, waits.source);
        if (spec.pty) unable('has no terminals');
        if (spec.input) unable('gives a command no input');
        if (spec.stderr) unable('keeps standard error and standard output together');
        if (spec.login || spec.elseDir || spec.path) unable('begins a command in no other way than one');
      };
      return (await runs.startOrAttach(id, spec, { mayBegin, workDir: () => client.workDir({ signal }) })).view();
    },
    async run(id, { signal, waitMs = 0 }) {
      const run = runs.find(id);
      if (typeof run === 'string') return run;
      if (waitMs > 0) await endedWithin(run.ended, Math.min(waitMs, maxWaitMs), { clock, signal });
      return run.view();
    },
    runs: async () => runs.all().map((run) => run.view()),
    async *output(id, from, { signal }) {
      yield* runs.get(id).spool.follow(from, { signal, reuseBuffer: true });
    },
    pourOutput: async (id, from, take, { signal }) => pourAll(runs.get(id).spool.follow(from, { signal, reuseBuffer: true }), take),
    async ack(id, to, epoch, { signal }) {
      fence.enter(epoch, signal);
      const run = runs.get(id);
      if (to > run.spool.length) throw new CroftError('invalid', `run ${id} has written ${run.spool.length} bytes, not ${to}`);
      await run.ack(to);
    },
    async cancel(id, reason, epoch, { signal }) {
      fence.enter(epoch, signal);
      const run = runs.get(id);
      run.kill({ kind: 'killed', reason });
      await run.ended;
      return run.view();
    },
    async collect(id, epoch, { signal }) {
      fence.enter(epoch, signal);
      await runs.collect(id);
    },
  };
}

function mustHold({ source }: Held, doing: string, asked: string | undefined): void {
  if (asked === undefined || asked === source) return;
  const text = 'one of Go’s buildlets keeps nothing over a restart of the coordinator, nor over its own';
  throw new CroftError('conflict', `${doing}: the source ${asked} does not lie in the work directory as far as is known: ${text}`);
}

/** What a directory is not, and one that is not there, Go's buildlet tells by a cut connection alone: so it is listed before. */
async function* archiveOf(
  client: GoClient,
  dir: string,
  { match, gzipLevel, signal }: Omit<ArchiveWaits, 'source'> & { match: readonly string[] },
): AsyncGenerator<Buffer> {
  try {
    const [first] = await Array.fromAsync(firstOf(client.listDir(dir, {}, { signal })));
    if (first?.name === '') throw new CroftError('not-found', `fetch files: "${dir}" is no directory`);
  } catch (error) {
    if (!isCode(error, 'internal')) throw error;
    throw new CroftError('not-found', `fetch files: there is no directory "${dir}"`, { cause: error });
  }
  const pieces = owned(client.getTar(dir, { signal }));
  if (match.length === 0) yield* pieces;
  else yield* filterArchive(pieces, { match, gzipLevel, signal });
}

async function* firstOf<T>(values: AsyncIterable<T>): AsyncGenerator<T> {
  for await (const value of values) return yield value;
}

/** Pieces that stay as they are. */
async function* owned(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  for await (const piece of pieces) yield Buffer.from(piece);
}

async function endedWithin(ended: Promise<void>, ms: number, { clock, signal }: Waits & { clock: Clock }): Promise<void> {
  const done = new AbortController();
  const late = clock.sleep(ms, { signal: done.signal }).catch(() => undefined);
  const onAbort = (): void => done.abort();
  signal?.addEventListener('abort', onAbort, { once: true });
  await Promise.race([ended, late]);
  signal?.removeEventListener('abort', onAbort);
  done.abort();
  signal?.throwIfAborted();
}

/** As a machine that refuses the work, which another one may take. */
function unable(what: string): never {
  throw new CroftError('exhausted', `one of Go’s buildlets ${what}`, { hint: 'Let this builder use machines with Croft’s buildlet.' });
}
