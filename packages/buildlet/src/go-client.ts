/**
 * Everything that Go's client of a buildlet does, for its programs and ours: commands that live as long as their request, files, lists,
 * tunnels. It gives a machine up after three heartbeats that did not come. @see docs/protocols/go-client.md
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { epochHeader, type BuildletStatus } from '@croft/protocol/runs';
import { SECOND, type Clock, type Waits } from '@croft/runtime/clock';
import type { CroftError } from '@croft/runtime/errors';
import type { BuildletAddress } from './address.ts';
import type { Question } from './exchange.ts';
import { execOn, type ExecOptions, type ExecOutcome } from './go/exec.ts';
import { listEntries, type DirEntry } from './go/list-entries.ts';
import {
  formBody,
  forwardQuestion,
  ipPortOf,
  listQuestion,
  proxyRequest,
  putQuestion,
  sshRequest,
  tarQuestion,
  unpackQuestion,
  urlOf,
  type ForwardedRequest,
  type ListOptions,
} from './go/questions.ts';
import { createSpeaker } from './go/speaker.ts';

export { goAddress } from './go/questions.ts';
export type { ExecOptions, ExecOutcome } from './go/exec.ts';
export type { DirEntry } from './go/list-entries.ts';

const answerMs = 20 * SECOND;
const haltMs = 2 * SECOND;

export interface GoClientOptions {
  readonly clock: Clock;
  /** Shown after the address. */
  readonly description?: string | undefined;
  /** What the coordinator, at whose address this is, calls the machine. */
  readonly remoteName?: string | undefined;
  /** Archives of one gzip member from buildlets of 2017, which make several otherwise. */
  readonly releaseMode?: boolean | undefined;
  /** Of one of our buildlets: the lease epoch, shown with every request. */
  readonly epoch?: number | undefined;
  /** Once, when the machine is given up or closed, with the reason. */
  readonly onHeartbeatFailure?: ((why: CroftError) => void) | undefined;
}

/** Disposing closes the connections and leaves the machine; `close` ends the machine. */
export interface GoClient extends AsyncDisposable {
  readonly name: string;
  /** Empty without one. */
  readonly remoteName: string;
  /** `host:port`; empty where there is none. */
  readonly ipPort: string;
  readonly url: string;
  /** Address and description. */
  toString(): string;
  status(waits: Waits): Promise<BuildletStatus>;
  workDir(waits: Waits): Promise<string>;
  /** @throws CroftError when it is not known what the command did; it then says nothing about the command */
  exec(command: string, options: ExecOptions, waits: Waits): Promise<ExecOutcome>;
  /** Writes a file. */
  put(path: string, file: NewFile, waits: Waits): Promise<void>;
  /** Unpacks a tar.gz below `dir`, which is made when missing. */
  putTar(dir: string, archive: AsyncIterable<Uint8Array>, waits: Waits): Promise<void>;
  /** The same with an archive that the machine fetches. */
  putTarFromUrl(dir: string, url: string, waits: Waits): Promise<void>;
  /** `dir` as a tar.gz; `.` is everything. Each piece is good only until the next one is asked for. */
  getTar(dir: string, waits: Waits): AsyncGenerator<Buffer>;
  listDir(dir: string, options: ListOptions, waits: Waits): AsyncGenerator<DirEntry>;
  /** Nothing is asked without paths. */
  removeAll(paths: readonly string[], waits: Waits): Promise<void>;
  /** A raw connection to the machine's sshd, for which the key is installed; what it said early comes first. */
  connectSsh(user: string, authorizedKey: string, waits: Waits): Promise<Duplex>;
  /** A raw connection to a port of the machine, by way of the coordinator. */
  proxyTcp(port: number, waits: Waits): Promise<Duplex>;
  /** Sends somebody's request on, with this client's credentials instead of theirs. */
  forward(request: ForwardedRequest, waits: Waits): Promise<IncomingMessage>;
  markBroken(): void;
  readonly isBroken: boolean;
  /** Called when the machine is closed, the last one first. */
  addCloseFunc(act: () => void): void;
  /** Ends the machine, whether it answers or not, and everything under way. */
  close(): Promise<void>;
}

export interface NewFile {
  /** As `stat` tells it: 0o755. */
  readonly mode: number;
  readonly content: AsyncIterable<Uint8Array> | string;
}

/** Nothing is connected before the first call, which begins the heartbeats as well. */
export function createGoClient(given: BuildletAddress, options: GoClientOptions): GoClient {
  const { clock, remoteName = '', description = '' } = options;
  const address = { user: 'gomote', ...given };
  const shown = `${urlOf(address)} ${description}`.trim();
  const standing: Record<string, string> = {
    ...(remoteName === '' ? {} : { 'X-Buildlet-Proxy': remoteName }),
    ...(options.epoch === undefined ? {} : { [epochHeader]: String(options.epoch) }),
  };
  const speaker = createSpeaker(address, { clock, shown, standing, onDead: options.onHeartbeatFailure });
  const { exchange, life, begun, ask, tell, tunnel } = speaker;
  return {
    name: address.name ?? (remoteName || ipPortOf(address) || '(unnamed-buildlet)'),
    remoteName,
    ipPort: ipPortOf(address),
    url: urlOf(address),
    toString: () => shown,
    async status(waits) {
      if (life.death) throw life.death;
      return speaker.status(waits);
    },
    workDir: async (waits) => (await ask(workDirQuestion, waits)).text,
    exec: (command, execOptions, waits) => execOn({ exchange, clock, markBroken: life.markBroken }, [command, execOptions], begun(waits)),
    put: (path, { mode, content }, waits) => tell(putQuestion(path, mode, content), waits),
    putTar: (dir, content, waits) => tell(unpackQuestion('PUT', dir, { type: 'application/x-gzip', content }), waits),
    putTarFromUrl: (dir, url, waits) => tell(unpackQuestion('POST', dir, formBody({ url })), waits),
    getTar: (dir, waits) => exchange.stream(tarQuestion(dir, options.releaseMode), begun(waits)),
    listDir: (dir, listOptions, waits) => listEntries(exchange.stream(listQuestion(dir, listOptions), begun(waits))),
    async removeAll(paths, waits) {
      if (paths.length === 0) return;
      await tell({ doing: 'remove files', method: 'POST', path: '/removeall', body: formBody({ path: paths }) }, waits);
    },
    connectSsh: (user, authorizedKey, waits) => tunnel(sshRequest(user, authorizedKey), waits),
    proxyTcp: async (port, waits) => tunnel(proxyRequest(port, remoteName), waits),
    forward: (request, waits) => exchange.open(forwardQuestion(request), begun(waits)),
    markBroken: life.markBroken,
    get isBroken() {
      return life.isBroken;
    },
    addCloseFunc: life.onClose,
    async close() {
      await life.close(() => tell(haltQuestion, {}));
      await speaker[Symbol.asyncDispose]();
    },
    [Symbol.asyncDispose]: () => speaker[Symbol.asyncDispose](),
  };
}

const workDirQuestion: Question = { doing: 'ask for the work directory', method: 'GET', path: '/workdir', deadlineMs: answerMs };
const haltQuestion: Question = { doing: 'halt the machine', method: 'POST', path: '/halt', deadlineMs: haltMs };
