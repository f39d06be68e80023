/**
 * The coordinator's HTTP side as one function from `Request` to `Response`. Every request passes the same gates in this order:
 * Host and Origin, who it is, what that caller may see; every answer leaves with the same headers.
 */
import { Hono } from 'hono';
import { matchedRoutes } from 'hono/route';
import { operations } from '@croft/protocol/operations';
import type { Clock } from '@croft/runtime/clock';
import type { Secret } from '@croft/runtime/config';
import { CroftError, isCode } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import type { Random } from '@croft/runtime/random';
import { createAttempts, type Attempts } from '@croft/web/attempts';
import { eventStream } from '@croft/web/event-stream';
import { failureOf } from '@croft/web/failure';
import { guard, type GuardOptions } from '@croft/web/guard';
import { secureHeaders } from '@croft/web/headers';
import { requireRole, type Identity } from '@croft/web/identity';
import type { Auth } from '../auth/auth.ts';
import { seenBy } from '../auth/scoped.ts';
import type { Capabilities } from '../capabilities.ts';
import type { SshAccess } from '../door/access.ts';
import type { Metrics } from '../events.ts';
import { createAdmit } from '../originals/admit.ts';
import type { BuilderKeys } from '../originals/builder-keys.ts';
import { apiHandlers } from './api.ts';
import type { AppContext, AppEnv, Pages } from './context.ts';
import { mountDashboardApi, provesByKey } from './dashboard-api.ts';
import { mountDistribution, type DistributionDeps } from './distribution.ts';
import { mountFarmer } from './farmer.ts';
import { mountHooks, provesBySignature } from './hooks.ts';
import { mountArtifacts } from './artifacts.ts';
import { mountLegacyResults } from './legacy-results.ts';
import { mountLogs } from './logs.ts';
import { checkParams, createOperator, fromOf, mountOperations, routePath, type Operator } from './perform.ts';
import { isEncrypted, mountSignIn, notFound, wantsPage, wayToSignIn } from './sign-in.ts';

export interface AppDeps extends GuardOptions, Omit<DistributionDeps, 'clock' | 'log'> {
  readonly capabilities: Capabilities;
  readonly auth: Auth;
  readonly pages: Pages;
  readonly metrics: Metrics;
  /** Of the originals' builders; undefined where they are not accepted. */
  readonly keys: BuilderKeys | undefined;
  /** Wrong builder keys, counted wherever they are shown; by this app alone without it. */
  readonly keyAttempts?: Attempts;
  /** With which a repository's forge signs; undefined when there is no such repository, or it has none. */
  hookSecret(repo: string): Secret | undefined;
  /** The SSH door; undefined where there is none. */
  readonly ssh?: SshAccess | undefined;
  readonly version: string;
  /** Believe `X-Forwarded-For`. */
  readonly behindProxy: boolean;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export function createApp(deps: AppDeps): Hono<AppEnv> {
  const { auth, pages, version, clock, log } = deps;
  const app = new Hono<AppEnv>();
  app.onError((error, c) => failed(error, c, deps));
  app.notFound(notFound);
  app.use((c, next) => measure(c, next, deps));
  app.use(async (c, next) => {
    await next();
    secureHeaders(c.res.headers, { encrypted: isEncrypted(c) });
  });
  app.get('/healthz', (c) => c.text('ok\n'));
  app.use((c, next) => enter(c, next, deps));

  const handlers = apiHandlers({ ...auth, ssh: deps.ssh, version });
  const operator = createOperator(handlers, auth.audit);
  mountSignIn(app, deps);
  mountOperations(app, handlers, operator);
  mountWatching(app, deps);
  mountLogs(app, { clock, log });
  mountArtifacts(app, { clock, log });
  mountDistribution(app, deps);
  mountLegacyResults(app);
  mountDashboardApi(app, {
    keys: deps.keys,
    admit: createAdmit({ keys: deps.keys, audit: auth.audit, attempts: deps.keyAttempts ?? createAttempts(clock) }),
  });
  mountFarmer(app, { clock, log });
  mountHooks(app, { hookSecret: deps.hookSecret, audit: auth.audit, attempts: createAttempts(clock) });
  mountPages(app, pages, operator);
  return app;
}

type Next = () => Promise<void>;

async function measure(c: AppContext, next: Next, { clock, metrics }: AppDeps): Promise<void> {
  c.set('origin', new URL(c.req.url).origin);
  const startedAt = clock.monotonic();
  await next();
  const route = matchedRoutes(c).findLast(({ path }) => path !== '/*')?.path ?? 'none';
  metrics.httpRequest({ method: c.req.method, route, status: c.res.status, seconds: (clock.monotonic() - startedAt) / 1_000 });
}

/** @throws CroftError `forbidden` for a foreign page or name, `unauthenticated` for a token that does not count */
async function enter(c: AppContext, next: Next, deps: AppDeps): Promise<void> {
  const { auth, capabilities, behindProxy } = deps;
  c.set('behindProxy', behindProxy);
  try {
    c.set('origin', guard(c.req.raw, c.env.connection, { ...deps, proves: (url) => provesByKey(url) || provesBySignature(url) }));
  } catch (error) {
    const changes = !['GET', 'HEAD', 'OPTIONS'].includes(c.req.method);
    const entry = { who: 'unknown', what: c.req.method.slice(0, 20), target: c.req.path.slice(0, 200), from: fromOf(c) };
    if (changes) await auth.audit.refused(entry, isCode(error, 'forbidden') ? error.message : 'malformed');
    throw error;
  }
  const who = await auth.identify(c.req.raw, c.env.connection);
  c.set('who', who);
  c.set('capabilities', seenBy(who, capabilities));
  await next();
}

function mountWatching(app: Hono<AppEnv>, { metrics, clock, log }: AppDeps): void {
  const follow = operations['changes.follow'];
  app.get(follow.path, (c) => {
    requireRole(c.var.who, follow.role);
    if (c.req.method === 'HEAD') return c.body(null, 200, { 'content-type': follow.answer });
    const { capabilities } = c.var;
    return eventStream(
      async function* changes(waits) {
        for await (const change of capabilities.changes(waits)) yield { event: 'change', data: change };
      },
      { request: c.req.raw, connection: c.env.connection, clock, log },
    );
  });
  const session = operations['session.follow'];
  app.get(routePath(session.path), async (c) => {
    requireRole(c.var.who, session.role);
    const { session: name = '' } = checkParams(c.req.param());
    const { who } = c.var;
    const { sessions } = c.var.capabilities;
    await sessions.get(who, name); // what is wrong with the name is said before anything else
    if (c.req.method === 'HEAD') return c.body(null, 200, { 'content-type': session.answer });
    return eventStream(
      async function* follow(waits) {
        for await (const data of sessions.follow(who, name, waits)) yield { event: 'session', data };
      },
      { request: c.req.raw, connection: c.env.connection, clock, log },
    );
  });
  const terminal = operations['session.terminal'];
  app.get(routePath(terminal.path), (c) => {
    requireRole(c.var.who, terminal.role);
    throw new CroftError('invalid', 'a terminal is a WebSocket, and this request asks for none');
  });
  const read = operations['metrics.get'];
  app.get(read.path, async (c) => {
    requireRole(c.var.who, read.role);
    return c.body(await metrics.text(), 200, { 'content-type': read.answer });
  });
}

/** The pages' forms are operations too: admitted and recorded here, carried out there. */
function mountPages(app: Hono<AppEnv>, pages: Pages, { admit }: Operator): void {
  for (const verb of ['cancel', 'retry'] as const) {
    app.post(`/builds/:build/${verb}`, async (c, next) => {
      await admit(c, `build.${verb}`, { build: c.req.param('build') });
      await next();
    });
  }
  for (const verb of ['drain', 'undrain', 'lose'] as const) {
    app.post(`/farm/machines/:machine/${verb}`, async (c, next) => {
      await admit(c, `machine.${verb}`, { machine: c.req.param('machine') });
      await next();
    });
  }
  for (const [path, name] of Object.entries(sessionForms)) {
    app.post(path, async (c, next) => {
      await admit(c, name, c.req.param() as Record<string, string>);
      await next();
    });
  }
  app.use(async (c, next) => {
    if (!c.req.path.startsWith('/static/')) requireRole(c.var.who, 'viewer');
    await next();
  });
  app.route('/', pages.routes);
}

const sessionForms = {
  '/sessions': 'session.create',
  '/sessions/:session/extend': 'session.extend',
  '/sessions/:session/share': 'session.share',
  '/sessions/:session/note': 'session.note',
  '/sessions/:session/destroy': 'session.end',
  '/builds/:build/hold': 'build.hold',
  '/builds/:build/repro': 'build.repro',
  '/account/keys': 'ssh-key.add',
  '/account/keys/:sshKey/remove': 'ssh-key.remove',
} as const;

async function failed(error: unknown, c: AppContext, { pages, log, random }: AppDeps): Promise<Response> {
  const { status, body, headers, id } = failureOf(error, { log, random });
  if (!wantsPage(c)) return c.json(body, status as 500, headers);
  if (status === 401 && c.req.method === 'GET') return wayToSignIn(c);
  const { message, hint } = body;
  const who: Identity | undefined = c.var.who; // nobody, when it failed before that was known
  return c.html(await pages.failure({ status, message, hint, id, who }), status as 500, headers);
}
