/** Ports of the machine and of the client, joined through a connection: `ssh -L`, `-D`, `-J`, `-R` and the agent. Nothing but that machine is reached. */
import type { Duplex } from 'node:stream';
import type { Connection, ServerChannel } from 'ssh2';
import type { Listening } from '@croft/buildlet/client';
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
  /** Joins a channel of the client to a port of the machine. @throws CroftError `forbidden` for another place than the machine itself */
  connect(to: { readonly host: string; readonly port: number }, accept: () => ServerChannel | undefined, waits: Waits): Promise<void>;
  /** @returns the port at which the machine listens for the client */
  listen(host: string, port: number, waits: Waits): Promise<number>;
  /** False where nothing listened. */
  unlisten(host: string, port: number): Promise<boolean>;
  /** The socket at which the machine reaches the agent of the client's user; the same for all of a connection. */
  agent(waits: Waits): Promise<string>;
}

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
    await joinStream(createDoorChannel(channel, { connection, closed: anySignal(gone, closed.signal), events: {} }), stream, 'half');
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
    async connect({ host, port }, accept, waits) {
      ssh.channel('connect');
      if (!ownNames.has(host))
        throw new CroftError('forbidden', `only the machine itself is reached from here: localhost:PORT, not ${host}:${port}`);
      const stream = await (await ways()).connect(port, waits);
      const channel = accept();
      if (channel) await join(channel, stream);
      else stream.destroy();
    },
    async listen(host, port, waits) {
      ssh.channel('listen');
      if (listeners.size >= maxListeners) throw new CroftError('exhausted', `one connection has at most ${maxListeners} forwarded ports`);
      const listening = await (await ways()).listen({ kind: 'tcp', port }, waits);
      const bound = 'port' in listening.place ? listening.place.port : port;
      listeners.set(`${host}:${bound}`, listening);
      serve(listening, () => openForwarded(connection, { host, port: bound }));
      return bound;
    },
    async unlisten(host, port) {
      const listening = listeners.get(`${host}:${port}`);
      listeners.delete(`${host}:${port}`);
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

function openForwarded(connection: Connection, { host, port }: { host: string; port: number }): Promise<ServerChannel> {
  const { promise, resolve, reject } = Promise.withResolvers<ServerChannel>();
  connection.forwardOut(host, port, '127.0.0.1', 0, (error, channel) => (error ? reject(error) : resolve(channel)));
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
