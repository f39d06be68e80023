/** Go's buildlet client and ours behind one face, so that one list of cases holds for both. */
import { connect, type Socket } from 'node:net';
import { startGoDriver, type GoDriver } from './go-driver.ts';

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

/** The calls that both clients have. What Go reports as an error is thrown with its text. */
export interface PeerClient {
  status(): Promise<number>;
  workDir(): Promise<string>;
  put(path: string, data: string, mode: number): Promise<void>;
  putTar(dir: string, data: Buffer): Promise<void>;
  putTarFromUrl(dir: string, url: string): Promise<void>;
  getTar(dir: string): Promise<Buffer>;
  list(dir: string, options?: ListOptions): Promise<ListedEntry[]>;
  removeAll(...paths: string[]): Promise<void>;
  exec(command: string, options?: ExecOptions): Promise<ExecEnd>;
  connectSsh(user: string, key: string): Promise<Socket>;
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

/** @param client the driver's name of it */
export function goClient(driver: GoDriver, client: string): PeerClient {
  const call = <T>(op: string, fields = {}, calling = {}): Promise<T> => driver.call<T>(op, { client, ...fields }, calling);
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

type Call = <T>(op: string, fields?: object, calling?: object) => Promise<T>;

async function goExec(call: Call, path: string, { onOutput, signal, ...options }: ExecOptions): Promise<ExecEnd> {
  const pieces: Buffer[] = [];
  let started = false;
  const onEvent = ({ event, data = '' }: { event: string; data?: string }): void => {
    started ||= event === 'started';
    if (event !== 'output') return;
    pieces.push(Buffer.from(data, 'base64'));
    onOutput?.(pieces.at(-1)?.toString() ?? '');
  };
  const ended = await call<{ remoteErr?: string; execErr?: string; timedOut: boolean }>('exec', { path, ...options }, { onEvent, signal });
  return {
    started,
    output: Buffer.concat(pieces).toString(),
    ...(ended.remoteErr === undefined ? {} : { remoteError: ended.remoteErr }),
    ...(ended.execErr === undefined ? {} : { execError: ended.execErr }),
    timedOut: ended.timedOut,
  };
}
