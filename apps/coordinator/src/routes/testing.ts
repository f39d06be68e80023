/** The whole HTTP side over a fake farm and a real, fresh database; called without a socket or served on one. */
import { tmpdir } from 'node:os';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { RoleName } from '@croft/protocol/api';
import { DAY, systemClock } from '@croft/runtime/clock';
import { silentLog } from '@croft/runtime/log';
import { systemRandom } from '@croft/runtime/random';
import { openDatabase } from '@croft/store/database';
import type { Connection } from '@croft/web/connection';
import { serve, type Listener } from '@croft/web/listener';
import { fakeConnection } from '@croft/web/testing';
import { openAuth, type Auth, type AuthOptions } from '../auth/auth.ts';
import { createDistribution, createGomote } from '../distribution/distribution.ts';
import { createNodeBinaries } from '../distribution/node-binaries.ts';
import { createMetrics } from '../events.ts';
import { createPages } from '../pages/routes.ts';
import { fakeFarm, type FakeFarm } from '../pages/testing.ts';
import { createShells } from '../sessions/shells.ts';
import { createApp, type AppDeps } from './app.ts';

export interface TestApp extends AsyncDisposable {
  readonly farm: FakeFarm;
  readonly auth: Auth;
  /** Asks as the local admin, unless the headers or the connection say otherwise. */
  ask(path: string, init?: RequestInit & { connection?: Connection }): Promise<Response>;
  /** The header of somebody with that role. */
  as(role: RoleName, repos?: string[]): Promise<{ authorization: string }>;
  audited(): Promise<string[]>;
  listen(): Promise<Listener>;
}

export const testOrigin = 'http://127.0.0.1:8080';

export async function openTestApp(over: Partial<AppDeps & AuthOptions> = {}): Promise<TestApp> {
  await using stack = new AsyncDisposableStack();
  const dataDir = await mkdtemp(join(tmpdir(), 'croft-app-'));
  stack.defer(() => rm(dataDir, { recursive: true, force: true }));
  const database = stack.use(await openDatabase({ url: `sqlite:${join(dataDir, 'croft.db')}`, durability: 'kill', log: silentLog }));
  const peerUid = 'peerUid' in over ? over.peerUid : async () => process.getuid?.();
  const base = { clock: systemClock, random: systemRandom, log: silentLog, ...over };
  const auth = await openAuth({ database, dataDir, trustLocalUser: true, anonymous: 'none', ...base, peerUid });
  const farm = fakeFarm();
  const shells = createShells({ ...base, audit: auth.audit });
  const pages = createPages({ clock: systemClock, log: silentLog, audit: auth.audit, shells, people: auth.people });
  const app = createApp({
    capabilities: farm,
    auth,
    pages,
    metrics: createMetrics(),
    keys: undefined,
    hookSecret: () => undefined,
    distribution: createDistribution(join(dataDir, 'programs')),
    gomote: createGomote(join(dataDir, 'programs')),
    nodes: createNodeBinaries(join(dataDir, 'programs')),
    version: '0.1.0',
    behindProxy: false,
    publicNames: [],
    ...base,
  });
  const owned = stack.move();
  return {
    farm,
    auth,
    ask: async (path, { connection = fakeConnection(), ...init } = {}) =>
      app.fetch(new Request(new URL(path, testOrigin), init), { connection }),
    async as(role, repos = []) {
      const { secret } = await auth.tokens.create({ name: role, role, repos, expiresInMs: DAY });
      return { authorization: `Bearer ${secret}` };
    },
    async audited() {
      const { entries } = await auth.audit.list({ limit: 100 });
      return entries.map(({ who, what, target }) => `${who.replace(/ \(T\w+\)$/, '')}: ${what} ${target}`.trim()).toReversed();
    },
    listen: () =>
      serve((request, connection) => app.fetch(request, { connection }), { host: '127.0.0.1', port: 0, log: silentLog, graceMs: 200 }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
