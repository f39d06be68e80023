/** The ways to a session's machine on a listener of their own: a session of ann's, and a machine of the test's choice behind it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createBuildlet, type Buildlet, type BuildletAddress } from '@croft/buildlet/client';
import { DAY, systemClock } from '@croft/runtime/clock';
import { silentLog } from '@croft/runtime/log';
import { systemRandom } from '@croft/runtime/random';
import { createAttempts } from '@croft/web/attempts';
import { serve, type Listener } from '@croft/web/listener';
import { openTestApp, type TestApp } from '../routes/testing.ts';
import type { SessionGround } from '../sessions/sessions.ts';
import { fakeSession, fakeSessions, type FakeSessions } from '../sessions/testing.ts';
import { createBuilderKeys } from '../originals/builder-keys.ts';
import { createRpc } from '../originals/rpc.ts';
import { openGomote, type GomoteDeps } from './gomote.ts';

export const sessionId = fakeSession().id;

interface Asking extends RequestInit {
  readonly headers?: Readonly<Record<string, string>>;
}

export interface ProxyStage extends AsyncDisposable {
  readonly app: TestApp;
  readonly sessions: FakeSessions;
  readonly listener: Listener;
  /** Of somebody of that name, a developer. */
  token(name: string): Promise<string>;
  /** Ann's session, for a client of the machine itself. */
  readonly address: BuildletAddress;
  /** Asks below the session's machine, as ann unless `init` says otherwise. */
  ask(path: string, init?: Asking): Promise<Response>;
  end(why: string): void;
}

export const testKeys = createBuilderKeys('a master key of tests', []);

type Over = Partial<GomoteDeps> & {
  readonly ground?: Partial<SessionGround>;
  readonly buildlet?: Buildlet;
  readonly sessionsLike?: (plain: FakeSessions) => FakeSessions;
};

export async function openProxyStage(
  machine: BuildletAddress,
  { ground = {}, buildlet: given, sessionsLike, ...over }: Over = {},
): Promise<ProxyStage> {
  await using stack = new AsyncDisposableStack();
  const app = stack.use(await openTestApp());
  const buildlet: Buildlet = given ?? stack.use(createBuildlet(machine, { clock: systemClock }));
  const plain = fakeSessions({ buildlet, ground, epoch: 7 });
  plain.put(fakeSession());
  const sessions = sessionsLike?.(plain) ?? plain;
  const { auth } = app;
  const dataDir = await mkdtemp(join(tmpdir(), 'croft-gomote-'));
  stack.defer(() => rm(dataDir, { recursive: true, force: true }));
  const common = { publicNames: [], behindProxy: false, clock: systemClock, random: systemRandom, log: silentLog, ...over };
  const capabilities = { sessions, farmer: fakeFarmer() };
  const shared = { ...common, capabilities, auth, keys: testKeys, attempts: createAttempts(systemClock), ssh: undefined, dataDir };
  const gomote = stack.use(await openGomote({ ...shared, lowWaterBytes: 0, ...over }));
  const admit = (): Promise<never> => Promise.reject(new Error('nobody clears results here'));
  const rpc = createRpc({ ...common, admit, dashboard: app.farm.dashboard, others: [gomote.rpc] });
  const raw = [...gomote.raw, rpc];
  const listener = stack.use(await serve(() => new Response('page'), { host: '127.0.0.1', port: 0, raw, log: silentLog, graceMs: 50 }));
  const token = async (name: string): Promise<string> =>
    (await auth.tokens.create({ name, role: 'developer', repos: [], expiresInMs: DAY })).secret;
  const ann = await token('ann');
  const basePath = `/api/v1/sessions/${sessionId}/machine`;
  const owned = stack.move();
  return {
    app,
    sessions,
    listener,
    token,
    address: { host: '127.0.0.1', port: listener.port, basePath, token: ann, password: '' },
    ask: (path, init = {}) =>
      fetch(`${listener.url}${basePath}${path}`, { ...init, headers: { authorization: `Bearer ${ann}`, ...init.headers } }),
    end: (why) => sessions.put(fakeSession({ state: 'ended', endReason: why })),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function fakeFarmer(): GomoteDeps['capabilities']['farmer'] {
  const entry = { Name: 'linux', HostType: 'local', KnownIssues: [], Notes: '', steps: 'detect' as const, services: [], repos: [] };
  const host = { HostType: 'local', Connected: 1, Expect: 2, Idle: 0, Busy: 1, Waiters: 0, Machines: {} };
  return { builders: { linux: entry as never }, hostTypes: {}, hosts: async () => ({ local: host }) };
}

/** How many uses of sessions are open, of stages that take their sessions from `counting`. */
export function countUses(): { open: number; counting(plain: FakeSessions): FakeSessions } {
  const uses = {
    open: 0,
    counting: (plain: FakeSessions): FakeSessions => ({
      ...plain,
      async enter(who, of) {
        const entered = await plain.enter(who, of);
        uses.open += 1;
        return { ...entered, [Symbol.dispose]: () => void (uses.open -= 1) };
      },
    }),
  };
  return uses;
}
