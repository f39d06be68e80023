/**
 * The addresses of the originals' coordinator beside its pages (coordinator.md 10): builders, machines, what runs, the live log.
 * `/try` is kept for builds of proposed changes under one address, which this farm does not show in that form.
 */
import type { Hono } from 'hono';
import { buildId } from '@croft/domain/job';
import { parseBuilderName, parseBuildId, parseRevision, type BuildId } from '@croft/domain/names';
import type { AttemptView, BuildDetail } from '@croft/protocol/api';
import type { Clock } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import { bodyOf } from '@croft/web/event-stream';
import { iso } from '@croft/web/html/format';
import { requireRole } from '@croft/web/identity';
import type { LogReader } from '../capabilities.ts';
import { eventsOf } from '../originals/build-records.ts';
import { hostHealth } from '../originals/host-health.ts';
import type { AppContext, AppEnv } from './context.ts';
import { goJson } from './legacy-results.ts';

export function mountFarmer(app: Hono<AppEnv>, deps: { clock: Clock; log: Log }): void {
  const json = (c: AppContext, value: unknown): Response => c.body(goJson(value), 200, { 'content-type': 'application/json' });
  app.get('/builders', async (c, next) => {
    if (c.req.query('mode') !== 'json') return next();
    requireRole(c.var.who, 'viewer');
    const { builders, hostTypes } = c.var.capabilities.farmer;
    return json(c, { Builders: builders, Hosts: hostTypes });
  });
  app.get('/status/reverse.json', async (c) => {
    requireRole(c.var.who, 'viewer');
    return json(c, { HostTypes: await c.var.capabilities.farmer.hosts() });
  });
  app.get('/status/post-submit-active.json', async (c) => {
    requireRole(c.var.who, 'viewer');
    const active = (await c.var.capabilities.dashboard.active()).map(({ builder, commit, goCommit, url }) => {
      const statusURL = url.startsWith('/') ? c.var.origin + url : url;
      return { builder, commit, goCommit, statusURL };
    });
    return json(c, active.length > 0 ? active : null);
  });
  const startedAt = deps.clock.monotonic();
  app.get('/status/:host', async (c) => {
    requireRole(c.var.who, 'viewer');
    const host = Object.values(await c.var.capabilities.farmer.hosts()).find(({ HostType }) => HostType === c.req.param('host'));
    if (!host) throw new CroftError('not-found', 'there is no such host type', { hint: 'They are listed at /status/reverse.json.' });
    const { text, error } = hostHealth(host, deps.clock.monotonic() - startedAt);
    return c.text(text, error ? 500 : 200);
  });
  app.get('/temporarylogs', async (c) => {
    requireRole(c.var.who, 'viewer');
    return temporaryLog(c, deps);
  });
  app.get('/dashboard', (c) => c.redirect('/'));
  const noTry = 'no try set has that commit: proposed changes are built like other commits, and listed with them';
  app.get('/try', (c) => c.text(`${noTry}\n`, 404));
  app.get('/try-dev', (c) => c.text(`${noTry}\n`, 404));
  app.on(['GET', 'OPTIONS'], '/try.json', (c) => {
    c.header('access-control-allow-origin', '*');
    return c.req.method === 'OPTIONS' ? c.body(null, 200) : c.json({ success: false, error: noTry }, 404);
  });
}

/** LP-1 to LP-3; `st` is the build's id, which never changes. */
async function temporaryLog(c: AppContext, { clock, log }: { clock: Clock; log: Log }): Promise<Response> {
  const id = c.req.query('st') ? parseBuildId(c.req.query('st') ?? '') : namedBuild(c);
  const build = await c.var.capabilities.build(id);
  if (!build) throw new CroftError('not-found', 'there is no such build', { hint: 'It has not been found yet, or is another farm’s.' });
  const attempt = build.attemptList.at(-1);
  const headers = { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' };
  const head = statusText(build, attempt, clock.now());
  if (!attempt) return c.body(`${head}\n\n(buildlet still starting; no live streaming. reload manually to see status)\n`, 200, headers);
  if (attempt.log.state === 'expired') return c.body(`${head}(its log was removed by retention)\n`, 200, headers);
  const reader = await c.var.capabilities.log(id, attempt.number);
  const follows = reader.live && !c.req.query('nostream');
  const note = c.req.query('nostream') ? '\n\n(live streaming disabled; reload manually to see status)\n' : '';
  const streaming = { request: c.req.raw, connection: c.env.connection, clock, log };
  return c.body(
    bodyOf(({ signal }) => textAndLog(head + note, { reader, follows, signal }), streaming),
    200,
    headers,
  );
}

/** The build of a branch's commit has an id that follows from what it builds. */
function namedBuild(c: AppContext): BuildId {
  const { packages } = c.var.capabilities.dashboard;
  const builder = parseBuilderName(c.req.query('name') ?? '');
  const main = { repo: packages.repoOf(''), revision: parseRevision(c.req.query('rev') ?? '') };
  const subName = c.req.query('subName') ?? '';
  const revisions =
    subName === '' ? [main] : [{ repo: packages.repoOf(subName), revision: parseRevision(c.req.query('subRev') ?? '') }, main];
  return buildId({ builder, revisions, trigger: { kind: 'branch', ref: '' } });
}

interface LogPart {
  readonly reader: LogReader;
  readonly follows: boolean;
  readonly signal?: AbortSignal | undefined;
}

async function* textAndLog(head: string, { reader, follows, signal }: LogPart): AsyncIterable<Uint8Array> {
  yield Buffer.from(head);
  yield* follows ? reader.follow(0, { signal }) : reader.read({ from: 0, to: reader.length });
}

function statusText(build: BuildDetail, attempt: AttemptView | undefined, now: number): string {
  const lines: [string, string][] = [
    ['builder', build.builder],
    ['rev', build.revision],
    ['buildlet', attempt?.machine ?? '(none)'],
    ['started', iso(attempt?.startedAt ?? build.createdAt)],
  ];
  if (build.state === 'ended')
    lines.push(['ended', iso(attempt?.endedAt ?? build.since)], ['success', String(build.end?.kind === 'passed')]);
  else lines.push(['status', 'still running']);
  const events = attempt ? eventsOf(build, attempt) : [];
  const last = events.at(-1);
  const since = last && build.state !== 'ended' ? ` ${`+${((now - last.at) / 1_000).toFixed(1)}s`.padStart(7)} (now)\n` : '';
  const told = events.map(({ at, event, text }) => `  ${iso(at)} ${event} ${text}\n`).join('');
  return `${lines.map(([name, value]) => `${name.padStart(9)}: ${value}\n`).join('')}${told === '' ? '' : `\nEvents:\n${told}${since}`}\nBuild log:\n`;
}
