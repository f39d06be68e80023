/**
 * Listeners on this machine for somebody far away: a port of its loopback, or a Unix socket, which unless they say where has a directory of its own. One lives as long as its control
 * connection, on which it tells who has come; each who has waits a while to be picked up. @see docs/protocols/runs.md#raw-connections
 */
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import type { ListenPlace } from '@croft/protocol/raw-connections';
import { SECOND, type Clock } from '@croft/runtime/clock';
import { CroftError, errorText, systemCode } from '@croft/runtime/errors';
import type { Random } from '@croft/runtime/random';

/** A path is where the socket is to be, else it is a fresh one. */
export type ListenWish = { readonly kind: 'tcp'; readonly port: number } | { readonly kind: 'unix'; readonly path?: string | undefined };

/** Disposal ends it with all that wait. */
export interface OpenListener extends AsyncDisposable {
  readonly place: ListenPlace;
  /** Tells on the control connection where it is and who comes; resolves when that is over. */
  tell(control: Duplex): Promise<void>;
}

export interface Listeners {
  /** @throws CroftError `conflict` for a port that is taken, `forbidden` for one that is not ours to take */
  open(wish: ListenWish): Promise<OpenListener>;
  /** Who has waited under this name; undefined when nobody does any more. */
  pickUp(name: string): Socket | undefined;
}

export interface ListenersDeps {
  readonly clock: Clock;
  readonly random: Random;
  /** Begins the names of directories of sockets; what a predecessor left under it is removed at the first use. */
  readonly socketNames: string;
}

const loopback = '127.0.0.1';
const maxWaiting = 64;
const pickUpMs = 30 * SECOND;

export function createListeners(deps: ListenersDeps): Listeners {
  const waiting = new Map<string, Waiting>();
  let swept: Promise<void> | undefined;
  return {
    async open(wish) {
      if (wish.kind === 'unix') await (swept ??= sweep(deps.socketNames).catch(() => {}));
      return openListener(wish, waiting, deps);
    },
    pickUp(name) {
      const found = waiting.get(name);
      found?.leave();
      return found?.socket;
    },
  };
}

interface Waiting {
  readonly socket: Socket;
  /** It waits no more. */
  leave(): void;
}

async function openListener(wish: ListenWish, waiting: Map<string, Waiting>, deps: ListenersDeps): Promise<OpenListener> {
  await using stack = new AsyncDisposableStack();
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true });
  server.on('error', () => {}); // a connection that could not be taken; the next one may be
  const mine = new Set<Waiting>();
  const place =
    wish.kind === 'tcp' ? await listenOnPort(server, wish.port) : await listenOnSocket(server, wish.path ?? (await freshPath(deps, stack)));
  stack.defer(() => {
    server.close();
    for (const { socket, leave } of mine) {
      leave();
      socket.destroy();
    }
  });
  const owned = stack.move();
  return {
    place,
    async tell(control) {
      const say = (line: object): void => void control.write(`${JSON.stringify(line)}\n`);
      say(place);
      server.on('connection', (socket) => {
        socket.on('error', () => {}); // whoever picks it up is told
        if (mine.size >= maxWaiting) return void socket.destroy();
        say({ connection: letWait(socket, [waiting, mine], deps) });
      });
      await new Promise((resolve) => control.once('end', resolve).once('close', resolve).resume()); // nothing is asked on it
      control.destroy();
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** The name under which it waits, as long as it may. */
function letWait(socket: Socket, [all, mine]: readonly [Map<string, Waiting>, Set<Waiting>], { clock, random }: ListenersDeps): string {
  const name = random.hex(8);
  const left = new AbortController();
  const me: Waiting = {
    socket,
    leave() {
      left.abort();
      all.delete(name);
      mine.delete(me);
    },
  };
  all.set(name, me);
  mine.add(me);
  socket.once('close', me.leave);
  clock.sleep(pickUpMs, { signal: left.signal }).then(
    () => void socket.destroy(),
    () => {}, // picked up, or gone
  );
  return name;
}

async function listenOnPort(server: Server, port: number): Promise<ListenPlace> {
  await listening(server.listen({ host: loopback, port, exclusive: true }), `port ${port}`);
  return { port: (server.address() as AddressInfo).port };
}

async function freshPath({ socketNames }: ListenersDeps, stack: AsyncDisposableStack): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), socketNames)); // 0700
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  return join(dir, 'socket');
}

async function listenOnSocket(server: Server, path: string): Promise<ListenPlace> {
  await listening(server.listen({ path }), path);
  await chmod(path, 0o600);
  return { path };
}

async function listening(server: Server, shown: string): Promise<void> {
  try {
    await once(server, 'listening');
  } catch (error) {
    const code = ({ EADDRINUSE: 'conflict', EACCES: 'forbidden' } as const)[systemCode(error) ?? ''] ?? 'internal';
    throw new CroftError(code, `listen on ${shown}: ${errorText(error)}`, { cause: error });
  }
}

/** Directories of a buildlet that was killed. */
async function sweep(names: string): Promise<void> {
  const left = (await readdir(tmpdir())).filter((name) => name.startsWith(names));
  await Promise.all(left.map((name) => rm(join(tmpdir(), name), { recursive: true, force: true }).catch(() => {})));
}
