/** The way to a session's machine on a listener of its own: a session of ann's, and a machine of the test's choice behind it. */
import { createBuildlet, type Buildlet, type BuildletAddress } from '@croft/buildlet/client';
import { DAY, systemClock } from '@croft/runtime/clock';
import { silentLog } from '@croft/runtime/log';
import { systemRandom } from '@croft/runtime/random';
import { serve, type Listener } from '@croft/web/listener';
import { openTestApp, type TestApp } from '../routes/testing.ts';
import type { SessionGround } from '../sessions/sessions.ts';
import { fakeSession, fakeSessions, type FakeSessions } from '../sessions/testing.ts';
import { createMachineProxy } from './machine-proxy.ts';

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

export async function openProxyStage(machine: BuildletAddress, ground: Partial<SessionGround> = {}): Promise<ProxyStage> {
  await using stack = new AsyncDisposableStack();
  const app = stack.use(await openTestApp());
  const buildlet: Buildlet = stack.use(createBuildlet(machine, { clock: systemClock }));
  const sessions = fakeSessions({ buildlet, ground, epoch: 7 });
  sessions.put(fakeSession());
  const { identify, audit, tokens } = app.auth;
  const deps = { sessions, identify, audit, publicNames: [], behindProxy: false, clock: systemClock, random: systemRandom, log: silentLog };
  const raw = [createMachineProxy(deps)];
  const listener = stack.use(await serve(() => new Response('page'), { host: '127.0.0.1', port: 0, raw, log: silentLog, graceMs: 50 }));
  const token = async (name: string): Promise<string> =>
    (await tokens.create({ name, role: 'developer', repos: [], expiresInMs: DAY })).secret;
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
