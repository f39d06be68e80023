/**
 * The only way the coordinator speaks to a machine: Go's endpoints for files and `/runs`. Every call may be repeated; whoever
 * gets `stale` has lost the machine and must stop. @see docs/protocols/runs.md
 */
import type { RunId } from '@croft/domain/names';
import {
  buildletStatusSchema,
  maxWaitMs,
  givenPortSchema,
  openPortSchema,
  runListSchema,
  runSchema,
  takenInputSchema,
  type BuildletStatus,
  type Run,
  type RunSpec,
  type TerminalSize,
} from '@croft/protocol/runs';
import { selfTestSchema, type SelfTest, type SelfTestRequest } from '@croft/protocol/self-test';
import { MINUTE, SECOND, type Clock, type Waits } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import type { Take } from '@croft/streams/pour';
import type { BuildletAddress } from './address.ts';
import { formBody } from './go/questions.ts';
import { treeEntries, treeQuestion, type TreeEntry, type TreeOptions } from './list-tree.ts';
import { rawCalls, type RawCalls } from './raw-calls.ts';
import { createExchange, parseJson, refused, type Exchange, type Question, type Reply } from './exchange.ts';
import type { Feed } from './upload.ts';

export type { BuildletAddress } from './address.ts';
export type { TreeEntry, TreeOptions } from './list-tree.ts';
export type { Feed } from './upload.ts';
export type { Listening, ListenWish, Reachable } from './raw-calls.ts';

const callMs = 30 * SECOND;
const uploadMs = 30 * MINUTE;
const maxAnswerBytes = 256 * 1024;
const maxListBytes = 16 * 1024 * 1024;

export interface Buildlet extends RawCalls, AsyncDisposable {
  /** For whoever passes requests of others on; it holds the password. */
  readonly address: BuildletAddress;
  /** How tightly it is worth while to pack what is sent: 0 (stored) where no network lies between. */
  readonly gzipLevel: 0 | 1;
  status(waits: Waits): Promise<BuildletStatus>;
  /** Absolute path of the directory that everything else is relative to. */
  workDir(waits: Waits): Promise<string>;
  /**
   * Unpacks a tar.gz below `dir`, which is made when missing.
   * @param waits `source`: a name for what the work directory holds then, until anything is sent or removed
   */
  putTarGz(dir: string, body: AsyncIterable<Uint8Array>, epoch: number, waits: SourceWaits): Promise<void>;
  /**
   * What lies below `dir` and one of the patterns selects, as a tar.gz; a directory that is matched comes with its contents.
   * @param waits `source`: what the work directory must hold
   * @throws CroftError `conflict` when it does not, `not-found` without the directory, `unavailable` when it was cut
   */
  getTarGz(dir: string, match: readonly string[], epoch: number, waits: ArchiveWaits): AsyncGenerator<Buffer>;
  /** All that lies below `dir`, in batches, each directory before its contents, with the SHA-256 of files; nothing where there is no such directory. */
  listTree(dir: string, options: TreeOptions, waits: Waits): AsyncGenerator<readonly TreeEntry[]>;
  removeAll(paths: readonly string[], epoch: number, waits: Waits): Promise<void>;
  /** @param waits `source`: what the command needs. @throws CroftError `conflict` when that is not there any more */
  startOrAttach(id: RunId, spec: RunSpec, epoch: number, waits: SourceWaits): Promise<Run>;
  /** @param waits `waitMs`: the answer is held until the run has ended, at most this long (60 s at most) */
  run(id: RunId, waits: Waits & { readonly waitMs?: number | undefined }): Promise<Run | 'unknown' | 'collected'>;
  /** Uncollected ones, oldest first. */
  runs(waits: Waits): Promise<Run[]>;
  /**
   * Output from an offset on until the run has ended and every byte was given. Back-pressured; ended by the caller's signal. Each
   * piece is good only until the next one is asked for.
   * @throws CroftError `unavailable` when it was cut: go on at the next offset; `not-found` when it was acknowledged and dropped
   */
  output(id: RunId, from: number, waits: StreamWaits): AsyncGenerator<Buffer>;
  /** The same for whoever follows it live: a piece that is dealt with at once leaves nothing to wait with. @see pour. @throws NotTaken as well */
  pourOutput(id: RunId, from: number, take: Take, waits: StreamWaits): Promise<void>;
  /** The bytes below `to` are stored safely elsewhere. */
  ack(id: RunId, to: number, epoch: number, waits: StreamWaits): Promise<void>;
  /** Kills the whole tree; the run as it ended, perhaps otherwise and before. */
  cancel(id: RunId, reason: string, epoch: number, waits: Waits): Promise<Run>;
  /** To the command's process group. @throws CroftError `conflict` when it has ended */
  signal(id: RunId, name: NodeJS.Signals, epoch: number, waits: Waits): Promise<void>;
  /**
   * Input from an offset on; repeating it takes nothing twice. Waits for the command to read, and where pieces are given for as long as
   * they come: each goes out at once.
   * @returns how much of its input it has taken. @throws CroftError `conflict` when it has ended or takes none
   */
  writeStdin(id: RunId, input: InputPart, epoch: number, waits: Waits): Promise<number>;
  /** Of its terminal. @throws CroftError `conflict` when it has ended or has none */
  resize(id: RunId, size: TerminalSize, epoch: number, waits: Waits): Promise<void>;
  /** Forgets everything but the id. @throws CroftError `conflict` while it runs */
  collect(id: RunId, epoch: number, waits: Waits): Promise<void>;
  /** A free port of the machine; the same again for the same name. */
  portFor(name: string, waits: Waits): Promise<number>;
  /** Whether something on the machine listens there. */
  isOpen(port: number, waits: Waits): Promise<boolean>;
  /** Has the machine test itself. @throws CroftError `exhausted` of one that cannot: Go’s own, whose status has no self-test */
  selfTest(asked: SelfTestRequest, waits: Waits): Promise<SelfTest>;
  /** Ends its runs and then itself. */
  halt(epoch: number | undefined, waits: Waits): Promise<void>;
}

export interface InputPart {
  readonly from: number;
  readonly content: Uint8Array | Feed;
  /** Nothing comes after it. */
  readonly end?: boolean | undefined;
}

export interface StreamWaits extends Waits {
  /** Standard error, of a run where it has an output of its own. */
  readonly stream?: 'stderr' | undefined;
}

export interface SourceWaits extends Waits {
  readonly source?: string | undefined;
}

export interface ArchiveWaits extends SourceWaits {
  readonly gzipLevel: number;
}

interface Schema<T> {
  safeParse(value: unknown): { success: true; data: T } | { success: false; error: Error };
}

/** Nothing is connected before the first call. Disposal closes kept-alive connections; calls under way fail. */
export function createBuildlet(address: BuildletAddress, { clock }: { clock: Clock }): Buildlet {
  const exchange = createExchange(address, clock);

  const ask = async (question: Question, waits: Waits, maxBytes = maxAnswerBytes): Promise<Reply> => {
    const reply = await exchange.ask({ deadlineMs: callMs, ...question }, maxBytes, waits);
    if (reply.status < 200 || reply.status > 299) throw refused(question.doing, reply);
    return reply;
  };
  const askFor = async <T>(schema: Schema<T>, question: Question, waits: Waits, maxBytes?: number): Promise<T> =>
    understood(schema, await ask(question, waits, maxBytes), question.doing);
  const tell = async (question: Question, waits: Waits): Promise<void> => void (await ask(question, waits));

  return {
    address,
    gzipLevel: address.socketPath === undefined ? 1 : 0,
    status: (waits) => askFor(buildletStatusSchema, { doing: 'ask for the status', method: 'GET', path: '/status' }, waits),
    workDir: async (waits) => (await ask({ doing: 'ask for the work directory', method: 'GET', path: '/workdir' }, waits)).text,
    putTarGz: (dir, content, epoch, waits) => tell(unpackQuestion(dir, content, epoch, waits), waits),
    getTarGz: (dir, match, epoch, waits) => owned(exchange.stream(tarQuestion(dir, match, epoch, waits), waits)),
    listTree: (dir, options, waits) => treeEntries(exchange.stream(treeQuestion(dir, options), waits)),
    removeAll(paths, epoch, waits) {
      const body = formBody({ path: paths });
      return tell({ doing: 'remove files', method: 'POST', path: '/removeall', epoch, body }, waits);
    },
    startOrAttach(id, spec, epoch, waits) {
      const asked = { source: waits.source, body: asJson(spec) };
      return askFor(runSchema, { doing: `start run ${id}`, method: 'PUT', path: `/runs/${id}`, epoch, ...asked }, waits);
    },
    async run(id, { signal, waitMs = 0 }) {
      const held = Math.min(waitMs, maxWaitMs);
      const doing = `ask for run ${id}`;
      const question: Question = { doing, method: 'GET', path: `/runs/${id}?wait=${held}`, deadlineMs: callMs + held };
      const reply = await exchange.ask(question, maxAnswerBytes, { signal });
      if (reply.status === 404) return 'unknown';
      if (reply.status === 410) return 'collected';
      if (reply.status !== 200) throw refused(doing, reply);
      return understood(runSchema, reply, doing);
    },
    async runs(waits) {
      return (await askFor(runListSchema, { doing: 'list the runs', method: 'GET', path: '/runs' }, waits, maxListBytes)).runs;
    },
    ...outputCalls(exchange, ask),
    cancel: (id, reason, epoch, waits) =>
      askFor(runSchema, { doing: `cancel run ${id}`, method: 'POST', path: `/runs/${id}/cancel`, epoch, body: asJson({ reason }) }, waits),
    signal: (id, name, epoch, waits) =>
      tell({ doing: `send ${name} to run ${id}`, method: 'POST', path: `/runs/${id}/signal?name=${name}`, epoch }, waits),
    ...inputCalls(ask),
    ...rawCalls(address, { clock }),
    collect: (id, epoch, waits) => tell({ doing: `collect run ${id}`, method: 'DELETE', path: `/runs/${id}`, epoch }, waits),
    portFor: async (name, waits) => (await askFor(givenPortSchema, portQuestion('POST', `name=${encodeURIComponent(name)}`), waits)).port,
    isOpen: async (port, waits) => (await askFor(openPortSchema, portQuestion('GET', `port=${port}`), waits)).open,
    selfTest: (asked, waits) =>
      askFor(selfTestSchema, { doing: 'test the machine', method: 'POST', path: '/selftest', body: asJson(asked) }, waits),
    halt: (epoch, waits) => tell({ doing: 'halt the machine', method: 'POST', path: '/halt', epoch }, waits),
    async [Symbol.asyncDispose]() {
      exchange[Symbol.dispose]();
    },
  };
}

function unpackQuestion(dir: string, content: AsyncIterable<Uint8Array>, epoch: number, { source }: SourceWaits): Question {
  const path = `/writetgz?dir=${encodeURIComponent(dir)}`;
  const body = { type: 'application/x-gzip', content };
  return { doing: `send files to "${dir}"`, method: 'PUT', path, epoch, source, body, deadlineMs: uploadMs };
}

type Ask = (question: Question, waits: Waits) => Promise<Reply>;

function outputCalls(exchange: Exchange, ask: Ask): Pick<Buildlet, 'output' | 'pourOutput' | 'ack'> {
  return {
    output: (id, from, { signal, stream }) => exchange.stream(outputQuestion(id, from, stream), { signal }),
    pourOutput: (id, from, take, { signal, stream }) => exchange.pour(outputQuestion(id, from, stream), take, { signal }),
    async ack(id, to, epoch, { signal, stream }) {
      const path = `/runs/${id}/ack?to=${to}${streamQuery(stream)}`;
      await ask({ doing: `acknowledge output of run ${id}`, method: 'POST', path, epoch }, { signal });
    },
  };
}

function outputQuestion(id: RunId, from: number, stream: StreamWaits['stream']): Question {
  return { doing: `follow run ${id}`, method: 'GET', path: `/runs/${id}/output?from=${from}&follow=1${streamQuery(stream)}` };
}

function streamQuery(stream: StreamWaits['stream']): string {
  return stream === undefined ? '' : `&stream=${stream}`;
}

function inputCalls(ask: Ask): Pick<Buildlet, 'writeStdin' | 'resize'> {
  return {
    async writeStdin(id, input, epoch, waits) {
      const question = inputQuestion(id, input, epoch);
      return understood(takenInputSchema, await ask(question, waits), question.doing).length;
    },
    async resize(id, { cols, rows }, epoch, waits) {
      await ask({ doing: `resize run ${id}`, method: 'POST', path: `/runs/${id}/size?cols=${cols}&rows=${rows}`, epoch }, waits);
    },
  };
}

function inputQuestion(id: RunId, { from, content, end }: InputPart, epoch: number): Question {
  const isWhole = content instanceof Uint8Array;
  const body = { type: 'application/octet-stream', content: isWhole ? piecesOf(content) : content };
  const path = `/runs/${id}/stdin?from=${from}${end ? '&end=1' : ''}`;
  return { doing: `write input of run ${id}`, method: 'PUT', path, epoch, body, deadlineMs: isWhole ? uploadMs : undefined };
}

function portQuestion(method: 'GET' | 'POST', query: string): Question {
  return { doing: 'ask for a port', method, path: `/ports?${query}` };
}

function tarQuestion(dir: string, match: readonly string[], epoch: number, { source, gzipLevel }: ArchiveWaits): Question {
  const query = new URLSearchParams([['dir', dir], ['level', String(gzipLevel)], ...match.map((pattern) => ['match', pattern])]);
  return { doing: `fetch files of "${dir}"`, method: 'GET', path: `/tgz?${query.toString()}`, epoch, source };
}

/** Pieces that stay as they are. */
async function* owned(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  for await (const piece of pieces) yield Buffer.from(piece);
}

async function* piecesOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function asJson(value: unknown): NonNullable<Question['body']> {
  return { type: 'application/json', content: JSON.stringify(value) };
}

function understood<T>(schema: Schema<T>, { text }: Reply, doing: string): T {
  const parsed = schema.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  throw new CroftError('unavailable', `${doing}: the buildlet's answer is not understood`, {
    cause: parsed.error,
    hint: 'It may be of another version, or another program may listen there.',
  });
}
