/** The pages over real HTTP with a fake farm behind them, for browsers. Who asks is always an admin called someone. */
import { Hono } from 'hono';
import { systemClock, type Clock } from '@croft/runtime/clock';
import { asCroftError } from '@croft/runtime/errors';
import { silentLog } from '@croft/runtime/log';
import { httpStatus } from '@croft/protocol/status-codes';
import { eventStream } from '@croft/web/event-stream';
import { secureHeaders } from '@croft/web/headers';
import { serve, type Listener } from '@croft/web/listener';
import type { AppEnv } from '../routes/context.ts';
import { mountLogs } from '../routes/logs.ts';
import { createPages } from './routes.ts';
import { testNow } from './testing-views.ts';
import type { FakeFarm } from './testing.ts';

/** Stands at `testNow` and goes on from there. */
function testClock(): Clock {
  const start = systemClock.now();
  return { ...systemClock, now: () => testNow + systemClock.now() - start };
}

export function testApp(farm: FakeFarm, clock: Clock = testClock()): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  const pages = createPages({ clock, log: silentLog, audit: { list: async () => ({ entries: farm.audit }) }, ...farm.borrowing });
  app.use(async (c, next) => {
    c.set('who', { name: 'someone', role: 'admin', repos: [], via: 'local' });
    c.set('capabilities', farm);
    c.set('origin', new URL(c.req.url).origin);
    await next();
    secureHeaders(c.res.headers, { encrypted: false });
  });
  app.get('/api/v1/events', (c) => {
    const streaming = { request: c.req.raw, connection: c.env.connection, clock: systemClock, log: silentLog };
    return eventStream(async function* changes(waits) {
      for await (const data of farm.changes(waits)) yield { event: 'change', data };
    }, streaming);
  });
  app.get('/signin', async (c) => c.html(await pages.signIn({ to: '/' })));
  mountLogs(app, { clock: systemClock, log: silentLog });
  app.route('/', pages.routes);
  app.onError(async (error, c) => {
    const { code, message, hint } = asCroftError(error, 'internal', 'answer');
    return c.html(await pages.failure({ status: httpStatus(code), message, hint }), httpStatus(code) as 500);
  });
  app.notFound(async (c) => c.html(await pages.failure({ status: 404, message: 'There is no such page.' }), 404));
  return app;
}

export function serveTestApp(farm: FakeFarm): Promise<Listener> {
  const app = testApp(farm);
  return serve((request, connection) => app.fetch(request, { connection }), { host: '127.0.0.1', port: 0, log: silentLog });
}
