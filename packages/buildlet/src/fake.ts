/**
 * A machine in memory: Go's buildlet of mid-2022 over connections that are none, with a real tree of files and commands that are
 * functions. Whatever speaks to buildlets can be pointed at it, so what is tested is what runs. For tests of those who use machines.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { duplexPair, type Duplex } from 'node:stream';
import type { Clock } from '@croft/runtime/clock';
import { errorText } from '@croft/runtime/errors';
import type { BuildletAddress } from './address.ts';
import { formOf, isMethod, say, type Asked } from './fake/answers.ts';
import { execRoute, type FakeCommand } from './fake/exec-route.ts';
import { fileRoutes, type FakeRoute } from './fake/file-routes.ts';
import { createFakeTree, type FakeTree } from './fake/tree.ts';

export type { FakeCall, FakeCommand } from './fake/exec-route.ts';

export interface FakeMachineOptions {
  readonly clock: Clock;
  /** By what is asked for: `sh`, `/bin/echo`, `go/src/all.bash` below the work directory. */
  readonly commands?: Readonly<Record<string, FakeCommand>> | undefined;
  readonly password?: string | undefined;
}

export type Presence = 'here' | 'silent' | 'away';

export interface FakeMachine extends Disposable {
  readonly address: BuildletAddress;
  readonly tree: FakeTree;
  /** Each request that was answered: `GET /status`. */
  readonly asked: readonly string[];
  readonly isHalted: boolean;
  /** `away` cuts every connection and refuses others; `silent` takes requests and does not answer. */
  become(presence: Presence): void;
}

const workDir = '/workdir';
const version = 25;

export function createFakeMachine({ clock, commands = {}, password = '' }: FakeMachineOptions): FakeMachine {
  const tree = createFakeTree(() => clock.now());
  const asked: string[] = [];
  const lines = new Set<Duplex>();
  let isHalted = false;
  let presence: Presence = 'here';
  const routes: Record<string, FakeRoute> = {
    ...fileRoutes(tree, () => clock.now()),
    ...machineRoutes(() => void (isHalted = true)),
    '/exec': (call) => execRoute(call, { workDir, tree, commands }),
  };
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    if (presence === 'silent') return;
    const url = new URL(request.url ?? '/', 'http://fake');
    asked.push(`${request.method} ${request.url}`);
    const call: Asked = { request, response, url };
    if (url.pathname === '/') return say(response, 200, 'buildlet running on fake-amd64\n');
    if (password !== '' && !knows(request, password)) return say(response, 403, 'invalid password\n');
    const route = routes[url.pathname];
    if (!route) return say(response, 404, '404 page not found\n');
    await route(call);
  };
  const server = createServer({ keepAliveTimeout: 0, requestTimeout: 0 }, (request, response) => {
    request.on('error', () => undefined);
    handle(request, response).catch((error: unknown) => {
      if (response.headersSent) response.destroy();
      else say(response, 500, `${errorText(error)}\n`);
    });
  });
  const dial = async (): Promise<Duplex> => {
    if (presence === 'away' || isHalted) throw new Error('connect ECONNREFUSED');
    const [ours, theirs] = duplexPair();
    lines.add(theirs);
    theirs.once('close', () => lines.delete(theirs)).on('error', () => undefined);
    theirs.once('close', () => ours.destroy());
    ours.once('close', () => theirs.destroy());
    server.emit('connection', theirs);
    return ours;
  };
  const cut = (): void => {
    for (const line of lines) line.destroy();
  };
  return {
    address: { dial, name: 'fake', password },
    tree,
    asked,
    get isHalted() {
      return isHalted;
    },
    become(next) {
      presence = next;
      if (presence === 'away') cut();
    },
    [Symbol.dispose]: cut,
  };
}

function machineRoutes(onHalt: () => void): Record<string, FakeRoute> {
  return {
    '/status': async (call) => void (isMethod(call, 'GET') && say(call.response, 200, JSON.stringify({ Version: version }))),
    '/workdir': async (call) => void (isMethod(call, 'GET') && say(call.response, 200, workDir)),
    '/halt': async (call) => {
      if (!isMethod(call, 'POST')) return;
      await formOf(call.request);
      onHalt();
      say(call.response, 200, '');
    },
    '/connect-ssh': async ({ response }) => {
      const head = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: ssh\r\nConnection: Upgrade\r\n\r\n';
      response.socket?.write(`${head}SSH-2.0-fake\r\n`);
    },
  };
}

function knows({ headers }: IncomingMessage, password: string): boolean {
  const [, encoded = ''] = /^Basic (.+)$/.exec(headers.authorization ?? '') ?? [];
  return (
    Buffer.from(encoded, 'base64')
      .toString()
      .replace(/^[^:]*:/, '') === password
  );
}
