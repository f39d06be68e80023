/** Go's buildlet client and ours behind one face, so that one list of cases holds for both. */
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import type { BuildletAddress } from '@croft/buildlet/client';
import { createGoClient, type ExecOptions as GoExecOptions } from '@croft/buildlet/go-client';
import { systemClock } from '@croft/runtime/clock';
import { CroftError, errorText } from '@croft/runtime/errors';
import { startGoDriver, type Calling, type DriverEvent, type GoDriver } from './go-driver.ts';

/** What a call of `exec` came to. Of the two errors at most one is there. */
export interface ExecEnd {
  /** The header block came, the command was started. */
  readonly started: boolean;
  readonly output: string;
  /** It ran and did not succeed: the text of its state. */
  readonly remoteError?: string;
  /** Nobody knows whether it ran. */
  readonly execError?: string;
  readonly timedOut: boolean;
}

export interface ExecOptions {
  readonly args?: readonly string[];
  readonly dir?: string;
  readonly env?: readonly string[];
  /** Absent leaves PATH alone, empty clears it. */
  readonly searchPath?: readonly string[];
  readonly systemLevel?: boolean;
  readonly debug?: boolean;
  readonly timeoutMs?: number;
  readonly onOutput?: (text: string) => void;
  readonly signal?: AbortSignal;
}

export interface ListedEntry {
  readonly line: string;
  readonly name: string;
  readonly isDir: boolean;
  readonly digest: string;
}

export interface ListOptions {
  readonly recursive?: boolean;
  readonly digest?: boolean;
  readonly skip?: readonly string[];
}

/** The calls that both clients have. A refusal is thrown as an error whose text is the status and what was answered: `400 bad mode`. */
export interface PeerClient {
  status(): Promise<number>;
  workDir(): Promise<string>;
  /** @param mode as `stat` tells it */
  put(path: string, data: string, mode: number): Promise<void>;
  putTar(dir: string, data: Buffer): Promise<void>;
  putTarFromUrl(dir: string, url: string): Promise<void>;
  getTar(dir: string): Promise<Buffer>;
  list(dir: string, options?: ListOptions): Promise<ListedEntry[]>;
  removeAll(...paths: string[]): Promise<void>;
  exec(command: string, options?: ExecOptions): Promise<ExecEnd>;
  connectSsh(user: string, key: string): Promise<Duplex>;
  /** How often it was told that its buildlet is lost. */
  heartbeatFailures(): number;
  isBroken(): Promise<boolean>;
  close(): Promise<void>;
}

export interface GoClients extends AsyncDisposable {
  readonly driver: GoDriver;
  connect(address: string, pair?: { cert: string; key: string }): Promise<PeerClient>;
}

export function openGoClients(program: string): GoClients {
  const driver = startGoDriver(program);
  return {
    driver,
    async connect(address, pair) {
      const { client } = await driver.call<{ client: string }>('connect', { address, ...pair });
      return goClient(driver, client);
    },
    [Symbol.asyncDispose]: () => driver[Symbol.asyncDispose](),
  };
}

/** @param client the driver’s name of it */
export function goClient(driver: GoDriver, client: string): PeerClient {
  const call: Call = (op, fields = {}, calling = {}) =>
    driver.call<never>(op, { client, ...fields }, calling).catch((error: unknown) => {
      throw new Error(refusalOf(errorText(error)), { cause: error });
    });
  return {
    status: async () => (await call<{ version: number }>('status')).version,
    workDir: async () => (await call<{ dir: string }>('workDir')).dir,
    put: (path, data, mode) => call('put', { path, mode, data: Buffer.from(data).toString('base64') }),
    putTar: (dir, data) => call('putTar', { dir, data: data.toString('base64') }),
    putTarFromUrl: (dir, url) => call('putTarFromURL', { dir, url }),
    getTar: async (dir) => Buffer.from((await call<{ data: string }>('getTar', { dir })).data, 'base64'),
    list: async (dir, options = {}) => (await call<{ entries: ListedEntry[] }>('list', { dir, ...options })).entries,
    removeAll: (...paths) => call('removeAll', { paths }),
    exec: (command, options = {}) => goExec(call, command, options),
    async connectSsh(user, key) {
      const { port } = await call<{ port: number }>('connectSSH', { user, key });
      return connect({ port, host: '127.0.0.1' });
    },
    heartbeatFailures: () => driver.events.filter((event) => event.event === 'heartbeat-failure' && event.client === client).length,
    isBroken: async () => (await call<{ broken: boolean }>('facts')).broken,
    close: () => call('close'),
  };
}

type Call = <T = void>(op: string, fields?: Readonly<Record<string, unknown>>, calling?: Calling) => Promise<T>;

/** What Go’s client puts around a refusal, and what ours does. */
function refusalOf(text: string): string {
  const [, status, answer = ''] =
    /the buildlet answered (\d{3}) ([^]*)$/.exec(text) ?? /\b(\d{3}) [A-Z][A-Za-z ]+(?:; body)?: ([^]*)$/.exec(text) ?? [];
  return status === undefined ? text : `${status} ${answer.trim()}`;
}

async function goExec(call: Call, path: string, { onOutput, signal, ...options }: ExecOptions): Promise<ExecEnd> {
  const pieces: Buffer[] = [];
  let started = false;
  const onEvent = ({ event, data = '' }: DriverEvent): void => {
    started ||= event === 'started';
    if (event !== 'output') return;
    pieces.push(Buffer.from(data, 'base64'));
    onOutput?.(pieces.at(-1)?.toString() ?? '');
  };
  const calling = { onEvent, ...(signal ? { signal } : {}) };
  const ended = await call<{ remoteErr?: string; execErr?: string; timedOut: boolean }>('exec', { path, ...options }, calling);
  return {
    started,
    output: Buffer.concat(pieces).toString(),
    ...(ended.remoteErr === undefined ? {} : { remoteError: ended.remoteErr }),
    ...(ended.execErr === undefined ? {} : { execError: refusalOf(ended.execErr) }),
    timedOut: ended.timedOut,
  };
}

/** Disposing leaves the buildlet alone. */
export function croftClient(address: BuildletAddress): PeerClient & AsyncDisposable & { markBroken(): void } {
  let failures = 0;
  const client = createGoClient(address, { clock: systemClock, onHeartbeatFailure: () => void (failures += 1) });
  const told = async <T>(answer: Promise<T>): Promise<T> =>
    answer.catch((error: unknown) => {
      throw new Error(refusalOf(errorText(error)), { cause: error });
    });
  return {
    status: async () => (await told(client.status({}))).Version,
    workDir: () => told(client.workDir({})),
    put: (path, content, mode) => told(client.put(path, { content, mode }, {})),
    putTar: (dir, data) => told(client.putTar(dir, once(data), {})),
    putTarFromUrl: (dir, url) => told(client.putTarFromUrl(dir, url, {})),
    getTar: (dir) => told(Array.fromAsync(client.getTar(dir, {}), (piece) => Buffer.from(piece)).then((pieces) => Buffer.concat(pieces))),
    list: (dir, options = {}) =>
      told(Array.fromAsync(client.listDir(dir, options, {}), ({ digest = '', ...entry }): ListedEntry => ({ ...entry, digest }))),
    removeAll: (...paths) => told(client.removeAll(paths, {})),
    async exec(command, options = {}) {
      const seen = { started: false, output: '' };
      try {
        const { state } = await client.exec(command, execOptions(options, seen), { signal: options.signal });
        return { ...seen, timedOut: false, ...(state === 'ok' ? {} : { remoteError: state }) };
      } catch (error) {
        const timedOut = error instanceof CroftError && error.code === 'timeout';
        return { ...seen, timedOut, execError: refusalOf(errorText(error)) };
      }
    },
    connectSsh: (user, key) => told(client.connectSsh(user, key, {})),
    heartbeatFailures: () => failures,
    isBroken: async () => client.isBroken,
    markBroken: client.markBroken,
    close: () => client.close(),
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  };
}

function execOptions(
  { onOutput, env: extraEnv, searchPath: path, ...same }: ExecOptions,
  seen: { started: boolean; output: string },
): GoExecOptions {
  return {
    ...same,
    extraEnv,
    path,
    onStart: () => void (seen.started = true),
    output(piece) {
      seen.output += piece.toString();
      onOutput?.(piece.toString());
    },
  };
}

async function* once(data: Buffer): AsyncGenerator<Buffer> {
  yield data;
}

/** A command that lasts, under way. Disposing kills it, which Go's buildlet leaves behind when it is killed itself. */
export async function startSleeping(client: PeerClient): Promise<{ readonly ended: Promise<ExecEnd> } & AsyncDisposable> {
  const { promise: pid, resolve } = Promise.withResolvers<string>();
  const ended = client.exec('/bin/sh', { systemLevel: true, args: ['-c', 'echo $$; exec sleep 300'], onOutput: resolve });
  const said = await Promise.race([pid, ended]);
  if (typeof said !== 'string') throw new Error(`the command did not start: ${JSON.stringify(said)}`);
  return {
    ended,
    async [Symbol.asyncDispose]() {
      try {
        process.kill(Number(said), 'SIGKILL');
      } catch {
        // it is gone
      }
      await ended;
    },
  };
}
