/** Ports and sockets of the machine and of the client, joined through a connection: `ssh -L`, `-D`, `-J`, `-R` and the agent. Nothing but that machine is reached. */
import type { Duplex } from 'node:stream';
import type { Connection, ServerChannel } from 'ssh2';
import type { Listening, ListenWish } from '@croft/buildlet/client';
import { anySignal, type Waits } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import type { TaskGroup } from '@croft/runtime/tasks';
import type { Metrics } from '../events.ts';
import { createDoorChannel, Leaving } from './door-channel.ts';
import { joinStream } from './join-stream.ts';
import { openAgentChannel } from './ssh2-inside.ts';
import type { Ways } from './ways.ts';

export interface Forwards {
  /** Joins a channel of the client to the machine. @throws CroftError `forbidden` for another place than the machine itself */
  connect(to: ForwardPlace, accept: () => ServerChannel | undefined, waits: Waits): Promise<void>;
  /** @returns the port at which the machine listens for the client; 0 for a socket */
  listen(where: ForwardPlace, waits: Waits): Promise<number>;
  /** False where nothing listened. */
  unlisten(where: ForwardPlace): Promise<boolean>;
  /** The socket at which the machine reaches the agent of the client's user; the same for all of a connection. */
  agent(waits: Waits): Promise<string>;
}

/** A port under a name of the machine, or a Unix socket. */
export type ForwardPlace = { readonly host: string; readonly port: number } | { readonly path: string };

export interface ForwardDeps {
  readonly connection: Connection;
  /** Aborted with the connection. */
  readonly gone: AbortSignal;
  readonly ways: () => Promise<Ways>;
  readonly tasks: TaskGroup;
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'ssh'>;
}

/** How a client may call the machine it is on. */
const ownNames = new Set(['localhost', '127.0.0.1', '::1', 'ip6-localhost']);
const maxListeners = 20;

export function createForwards({ connection, gone, ways, tasks, log, metrics: { ssh } }: ForwardDeps): Forwards {
  const listeners = new Map<string, Listening>();
  let agent: Promise<string> | undefined;
  const join = async (channel: ServerChannel, stream: Duplex): Promise<void> => {
    const closed = new AbortController();
    channel.once('close', () => closed.abort(new Leaving(true)));
    await joinStream(createDoorChannel(channel, { connection, closed: anySignal(gone, closed.signal) }), stream, 'half');
  };
  const serve = (listening: Listening, open: () => Promise<ServerChannel>): void => {
    const close = (): void => void listening[Symbol.asyncDispose]();
    gone.addEventListener('abort', close, { once: true });
    tasks.start('forward', async () => {
      try {
        for await (const stream of listening.connections) tasks.start('join', () => joinTo(stream, open, join));
      } catch (error) {
        if (!gone.aborted) log.info('ssh forwarding lost', { error });
      } finally {
        gone.removeEventListener('abort', close);
        await listening[Symbol.asyncDispose]();
      }
    });
  };
  return {
    async connect(to, accept, waits) {
      ssh.channel('connect');
      if ('host' in to && !ownNames.has(to.host))
        throw new CroftError('forbidden', `only the machine itself is reached from here: localhost:PORT, not ${keyOf(to)}`);
      const stream = await (await ways()).connect('path' in to ? to : to.port, waits);
      const channel = accept();
      if (channel) await join(channel, stream);
      else stream.destroy();
    },
    async listen(where, waits) {
      ssh.channel('listen');
      if (listeners.size >= maxListeners) throw new CroftError('exhausted', `one connection has at most ${maxListeners} forwarded ports`);
      const listening = await (await ways()).listen(wishOf(where), waits);
      const port = 'port' in listening.place ? listening.place.port : 0;
      const bound = 'path' in where ? where : { host: where.host, port };
      listeners.set(keyOf(bound), listening);
      serve(listening, () => openForwarded(connection, bound));
      return port;
    },
    async unlisten(where) {
      const listening = listeners.get(keyOf(where));
      listeners.delete(keyOf(where));
      await listening?.[Symbol.asyncDispose]();
      return listening !== undefined;
    },
    agent(waits) {
      const open = async (): Promise<string> => {
        ssh.channel('agent');
        const listening = await (await ways()).listen({ kind: 'unix' }, waits);
        serve(listening, () => openAgentChannel(connection));
        return 'path' in listening.place ? listening.place.path : '';
      };
      agent ??= open();
      return agent;
    },
  };
}

function wishOf(place: ForwardPlace): ListenWish {
  return 'path' in place ? { kind: 'unix', path: place.path } : { kind: 'tcp', port: place.port };
}

function keyOf(place: ForwardPlace): string {
  return 'path' in place ? place.path : `${place.host}:${place.port}`;
}

function openForwarded(connection: Connection, to: ForwardPlace): Promise<ServerChannel> {
  const { promise, resolve, reject } = Promise.withResolvers<ServerChannel>();
  const opened = (error: Error | undefined, channel: ServerChannel): void => (error ? reject(error) : resolve(channel));
  if ('path' in to) connection.openssh_forwardOutStreamLocal(to.path, opened);
  else connection.forwardOut(to.host, to.port, '127.0.0.1', 0, opened);
  return promise;
}

async function joinTo(
  stream: Duplex,
  open: () => Promise<ServerChannel>,
  join: (channel: ServerChannel, stream: Duplex) => Promise<void>,
): Promise<void> {
  try {
    await join(await open(), stream);
  } catch {
    stream.destroy(); // the client does not want it
  }
}
