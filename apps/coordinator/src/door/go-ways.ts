/**
 * One of Go's machines: it has an SSH server of its own, to which its buildlet joins us (gomote-ssh.md 8.5). A second SSH leads there, with
 * a key of the farm's; what is begun over it ends with it.
 */
import type { Duplex } from 'node:stream';
import ssh2, { type Client, type ClientChannel, type PseudoTtyOptions } from 'ssh2';
import type { Listening } from '@croft/buildlet/client';
import { SECOND, type Clock, type Waits } from '@croft/runtime/clock';
import { CroftError, errorText } from '@croft/runtime/errors';
import { createBell } from '@croft/runtime/tasks';
import type { ChannelEnd, DoorChannel } from './door-channel.ts';
import { clamped } from './exec-channel.ts';
import { goScript } from './go-script.ts';
import { joinStream } from './join-stream.ts';
import type { Visit } from './visit.ts';
import type { CommandWish, Ways } from './ways.ts';
import { welcome } from './words.ts';

export interface GoWayDeps {
  /** A raw connection to the machine's SSH server, which lets this key in as that user. */
  tunnel(user: string, authorizedKey: string, waits: Waits): Promise<Duplex>;
  /** Who the machine's SSH server lets in; undefined where nobody said. */
  readonly user: string | undefined;
  /** OpenSSH's, of this session alone. */
  readonly key: { readonly public: string; readonly private: string };
  readonly clock: Clock;
}

const readyMs = 20 * SECOND;
const keepAliveMs = 15 * SECOND;
/** Go's buildlets start a server that takes one connection and is started again a moment later. */
const tries = 5;
const pauseMs = SECOND;
/** What ssh says of a command whose end was not told. */
const unknown = 255;

export async function openGoWays(visit: Visit, deps: GoWayDeps, waits: Waits): Promise<Ways> {
  const client = await reach(visit, deps, waits);
  client.on('error', () => undefined); // channels are told by their ends
  return {
    command: (channel, wish) => command(channel, wish, { client, visit, clock: deps.clock }),
    async sftp(channel) {
      await joinStream(channel, await asked<ClientChannel>((done) => client.subsys('sftp', done), 'begin SFTP'), 'close');
    },
    async connect(to) {
      if (typeof to !== 'number') throw noSockets();
      return asked<ClientChannel>((done) => client.forwardOut('127.0.0.1', 0, '127.0.0.1', to, done), `connect to port ${to}`);
    },
    async listen(where) {
      if (where.kind === 'unix') throw noSockets();
      return listenOn(client, where.port);
    },
    async [Symbol.asyncDispose]() {
      client.end();
    },
  };
}

/** Nobody there would say which of them are the session's. */
function noSockets(): CroftError {
  return new CroftError('unavailable', 'one of Go’s machines passes on no agent and no Unix sockets');
}

/** Which of the two hops failed is in the message. */
async function reach(visit: Visit, deps: GoWayDeps, waits: Waits): Promise<Client> {
  const { user, key, clock } = deps;
  const { session } = visit;
  if (user === undefined)
    throw new CroftError('unavailable', `nobody said as whom to enter machines of the host type ${session?.hostType ?? '(unknown)'}`, {
      hint: 'An operator sets `sshUser` of the host type.',
    });
  for (let left = tries; ; left -= 1) {
    try {
      const sock = await deps.tunnel(user, key.public, waits);
      return await login(sock, user, key.private);
    } catch (error) {
      if (left <= 1 || waits.signal?.aborted)
        throw new CroftError('unavailable', `reach the SSH server of ${session?.machine ?? 'the machine'}: ${errorText(error)}`, {
          cause: error,
        });
      await clock.sleep(pauseMs, waits);
    }
  }
}

function login(sock: Duplex, username: string, privateKey: string): Promise<Client> {
  const { promise, resolve, reject } = Promise.withResolvers<Client>();
  const client = new ssh2.Client();
  client.once('ready', () => resolve(client));
  client.once('error', reject);
  client.once('close', () => reject(new CroftError('unavailable', 'it closed the connection')));
  const settings = { sock: sock as never, username, privateKey, readyTimeout: readyMs, keepaliveInterval: keepAliveMs };
  client.connect({ ...settings, hostVerifier: () => true }); // the line to the machine is what is trusted
  return promise;
}

interface Context {
  readonly client: Client;
  readonly visit: Visit;
  readonly clock: Clock;
}

async function command(channel: DoorChannel, wish: CommandWish, { client, visit, clock }: Context): Promise<void> {
  const { commandLine, terminal, env } = wish;
  const { ground } = visit;
  if (terminal && commandLine === undefined) await channel.write(welcome(visit, { again: false, now: clock.now() }));
  const pty: PseudoTtyOptions | undefined = terminal && { ...clamped(terminal), term: terminal.term };
  const line = goScript({ commandLine, env, ground });
  const stream = await asked<ClientChannel>((done) => client.exec(line, pty ? { pty } : {}, done), 'begin the command');
  const cut = (): void => stream.close();
  channel.closed.addEventListener('abort', cut, { once: true });
  if (channel.closed.aborted) cut();
  channel.onResize((size) => stream.setWindow(clamped(size).rows, clamped(size).cols, 0, 0));
  channel.onSignal((name) => stream.signal(name));
  const ended = endOf(stream);
  void sendInput(channel, stream);
  await Promise.all([show(stream, channel.write), show(stream.stderr, channel.writeError)]);
  const end = await ended;
  channel.closed.removeEventListener('abort', cut);
  channel.end(end);
}

/** Often after the end of the output: a command may close it and go on, and a server may tell the status last. */
function endOf(stream: ClientChannel): Promise<ChannelEnd> {
  const { promise, resolve } = Promise.withResolvers<ChannelEnd>();
  stream.once('exit', (code: number | null, signal?: string) => resolve(code === null ? { signal: signal ?? 'KILL' } : { code }));
  stream.once('close', () => resolve({ code: unknown }));
  return promise;
}

async function show(stream: NodeJS.ReadableStream, write: DoorChannel['write']): Promise<void> {
  const pieces = (stream as Duplex).iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
  for await (const piece of pieces) await write(piece);
}

/** Ends with the channel. */
async function sendInput(channel: DoorChannel, stream: ClientChannel): Promise<void> {
  try {
    await channel.pour((piece) => {
      if (!stream.writable || stream.write(Buffer.from(piece))) return undefined;
      return new Promise<void>((resolve) => stream.once('drain', resolve).once('close', resolve));
    });
    stream.end();
  } catch {
    stream.close();
  }
}

async function listenOn(client: Client, wanted: number): Promise<Listening> {
  const told = await asked<number>((done) => client.forwardIn('127.0.0.1', wanted, done), `listen at port ${wanted}`);
  const port = wanted === 0 ? told : wanted;
  const come: Duplex[] = [];
  const bell = createBell();
  let isClosed = false;
  const close = (): void => {
    isClosed = true;
    bell.ring();
  };
  client.on('tcp connection', ({ destPort }, accept) => {
    if (destPort !== port || isClosed) return;
    come.push(accept());
    bell.ring();
  });
  client.once('close', close);
  async function* connections(): AsyncGenerator<Duplex> {
    for (; !isClosed; await bell.wait({})) for (let next = come.shift(); next; next = come.shift()) yield next;
  }
  return {
    place: { port },
    connections: connections(),
    async [Symbol.asyncDispose]() {
      if (!isClosed) client.unforwardIn('127.0.0.1', port);
      close();
    },
  };
}

/** @throws CroftError `unavailable` with what the machine's server says */
function asked<T>(ask: (done: (error: Error | undefined, answer: T) => void) => unknown, doing: string): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const done = (error: Error | undefined, answer: T): void =>
    error ? reject(new CroftError('unavailable', `${doing}: the machine’s SSH server says no: ${error.message}`)) : resolve(answer);
  try {
    ask(done);
  } catch (error) {
    reject(new CroftError('unavailable', `${doing}: the connection to the machine’s SSH server is gone`, { cause: error }));
  }
  return promise;
}
