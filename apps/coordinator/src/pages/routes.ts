/** The pages' addresses. A request from htmx gets the part that renews itself, everybody else the whole page. */
import { Hono } from 'hono';
import { cancelRequestSchema, type AttemptView, type BuildDetail } from '@croft/protocol/api';
import { operations } from '@croft/protocol/operations';
import type { SessionView } from '@croft/protocol/sessions';
import { parseBuildId } from '@croft/domain/names';
import { CroftError, isCode } from '@croft/runtime/errors';
import type { Clock } from '@croft/runtime/clock';
import type { Log } from '@croft/runtime/log';
import { readForm, parseInput } from '@croft/web/body';
import { hasRole, requireRole } from '@croft/web/identity';
import { terminalPagePolicy } from '@croft/web/headers';
import { document, type Frame, type Page } from '@croft/web/html/document';
import type { Html } from '@croft/web/html/markup';
import { createAssets, type Assets } from '@croft/web/static';
import type { Audit } from '../auth/audit.ts';
import type { Capabilities } from '../capabilities.ts';
import type { AppContext, AppEnv, Pages } from '../routes/context.ts';
import type { Shells } from '../sessions/shells.ts';
import { mountAccount, type AccountRoutes } from './account-routes.ts';
import { shownFiles } from './artifact-list.ts';
import { mountBrowsing } from './browse-routes.ts';
import { buildFragment, buildPage, buildTerminalPage, buildTitle, type BuildPageView } from './build-page.ts';
import { configFragment, configPage } from './config-page.ts';
import { mountFarm } from './farm-routes.ts';
import { mayLackSomething } from './first-steps.ts';
import { gridFragment, gridPage, gridTitle } from './grid-page.ts';
import { placeIn, readTail } from './log-places.ts';
import type { LogTail } from './log-panel.ts';
import { mountSessionFiles } from './session-file-routes.ts';
import { mountSessions } from './session-routes.ts';
import { failurePage, failureTitle, signInPage } from './sign-in-page.ts';

export interface PagesDeps extends Pick<AccountRoutes, 'people' | 'door'> {
  readonly clock: Clock;
  readonly audit: Pick<Audit, 'list'>;
  readonly shells: Pick<Shells, 'runs'>;
  readonly log: Log;
}

export function createPages(deps: PagesDeps): Pages {
  const { clock } = deps;
  const assets = createAssets();
  const bare = async (title: string, body: Html, who?: Frame['who']): Promise<Awaited<Html>> =>
    document({ assets: await assets.urls(), now: clock.now(), theme: undefined, who }, { title, place: 'other', body });
  return {
    routes: routes(assets, deps),
    signIn: (view) => bare('Sign in', signInPage(view)),
    failure: (view) => bare(failureTitle(view.status), failurePage(view), view.who),
  };
}

function routes(assets: Assets, { clock, log, audit, shells, people, door }: PagesDeps): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  const show = async (c: AppContext, page: Page): Promise<Response> => {
    if (page.withTerminal) c.header('content-security-policy', terminalPagePolicy);
    return answer(c, await document(await frame(c, assets, clock), page));
  };
  const showOrPart = async (c: AppContext, page: Page): Promise<Response> => (isPartial(c) ? answer(c, await page.body) : show(c, page));

  app.get('/static/*', (c) => assets.respond(c.req.raw));

  app.get('/', async (c) => {
    const { capabilities } = c.var;
    const grid = await capabilities.grid(gridQuery(c));
    const farm = await capabilities.farm({ brief: !mayLackSomething(grid) });
    const view = { grid, farm, now: clock.now() };
    if (isPartial(c)) return answer(c, await gridFragment(view));
    return show(c, { title: gridTitle(grid), place: 'grid', live: true, body: gridPage(view) });
  });

  app.get('/config', async (c) => {
    requireRole(c.var.who, operations['config.get'].role);
    const view = { ...(await c.var.capabilities.configuration()), now: clock.now() };
    if (isPartial(c)) return answer(c, await configFragment(view));
    return show(c, { title: 'Configuration', place: 'farm', live: true, body: configPage(view) });
  });

  mountBuild(app, clock, show);
  mountFarm(app, { clock, show: showOrPart });
  mountBrowsing(app, { clock, audit, show: showOrPart });
  mountSessions(app, { clock, shells, show: showOrPart });
  mountSessionFiles(app, { clock, log, show: showOrPart });
  mountAccount(app, { clock, people, door, show: showOrPart });
  return app;
}

function mountBuild(app: Hono<AppEnv>, clock: Clock, show: (c: AppContext, page: Page) => Promise<Response>): void {
  app.get('/builds/:build', async (c) => {
    const view = await buildView(c, clock);
    if (isPartial(c)) return answer(c, await buildFragment(view));
    const tail = await tailOf(c.var.capabilities, view);
    return show(c, { title: buildTitle(view.build), place: 'build', live: true, withLog: true, body: buildPage({ ...view, tail }) });
  });

  app.get('/builds/:build/terminal', async (c) => {
    requireRole(c.var.who, operations['session.terminal'].role);
    const { build } = await buildView(c, clock);
    return show(c, { title: `shell: ${build.builder}`, place: 'build', withTerminal: true, body: buildTerminalPage(build) });
  });

  app.get('/builds/:build/attempts/:attempt/lines', async (c) => {
    const [line, offset] = [number(c.req.query('line')), number(c.req.query('offset'))];
    if (line === undefined && offset === undefined) throw new CroftError('invalid', 'look up a line of a log: give "line" or "offset"');
    const log = await c.var.capabilities.log(parseBuildId(c.req.param('build')), number(c.req.param('attempt')) ?? 0);
    return c.json(await placeIn(log, line === undefined ? { offset: offset ?? 0 } : { line }), 200, { 'cache-control': 'no-store' });
  });

  app.post('/builds/:build/cancel', async (c) => {
    requireRole(c.var.who, operations['build.cancel'].role);
    const { why } = parseInput(cancelRequestSchema, Object.fromEntries(await readForm(c.req.raw)), 'the form');
    return act(c, clock, { does: (id) => c.var.capabilities.cancel(id, c.var.who.name, why) });
  });

  app.post('/builds/:build/retry', async (c) => {
    requireRole(c.var.who, operations['build.retry'].role);
    return act(c, clock, { does: (id) => c.var.capabilities.retry(id, c.var.who.name), unless: 'ended' });
  });
}

interface Action {
  does(id: ReturnType<typeof parseBuildId>): Promise<unknown>;
  /** A build in this state was not changed by somebody else: that it could not be done is an error. */
  readonly unless?: BuildDetail['state'];
}

/** Does it and shows the build as it is afterwards. Who comes too late sees what it has become: that is not an error to a reader. */
async function act(c: AppContext, clock: Clock, { does, unless }: Action): Promise<Response> {
  const id = parseBuildId(c.req.param('build') ?? '');
  try {
    await does(id);
  } catch (error) {
    const late = isCode(error, 'conflict') && (await c.var.capabilities.build(id))?.state !== unless;
    if (!late) throw error;
  }
  if (!isPartial(c)) return c.redirect(`/builds/${id}`, 303);
  return answer(c, await buildFragment(await buildView(c, clock)));
}

async function buildView(c: AppContext, clock: Clock): Promise<BuildPageView> {
  const id = parseBuildId(c.req.param('build') ?? '');
  const build = await c.var.capabilities.build(id);
  if (!build)
    throw new CroftError('not-found', `there is no build ${id}`, {
      hint: 'Ids are permanent: if it was here once, this is not the farm that built it.',
    });
  const asked = number(c.req.query('attempt'));
  const attempt = pickAttempt(build, asked);
  const { who } = c.var;
  const about = ({ from }: SessionView): boolean => from.kind !== 'asked' && from.build === id;
  return {
    build,
    sessions: (await c.var.capabilities.sessions.list(who)).filter(about),
    attempt,
    chosen: asked !== undefined,
    tail: undefined,
    caches: attempt ? await c.var.capabilities.cacheUses(id, { attempt: attempt.number }) : [],
    artifacts: attempt ? await c.var.capabilities.artifacts(id, { attempt: attempt.number, maxFiles: shownFiles }) : [],
    who: { name: who.name, may: (role) => hasRole(who, role) },
    now: clock.now(),
  };
}

function pickAttempt(build: BuildDetail, asked: number | undefined): AttemptView | undefined {
  if (asked === undefined) return build.attemptList.at(-1);
  const attempt = build.attemptList.find((candidate) => candidate.number === asked);
  if (!attempt) throw new CroftError('not-found', `build ${build.id} has no attempt ${asked}`);
  return attempt;
}

async function tailOf(capabilities: Capabilities, { build, attempt }: BuildPageView): Promise<LogTail | undefined> {
  if (!attempt || attempt.log.state === 'expired') return undefined;
  try {
    return await readTail(await capabilities.log(parseBuildId(build.id), attempt.number));
  } catch (error) {
    if (isCode(error, 'not-found')) return undefined; // removed since it was listed
    throw error;
  }
}

function gridQuery(c: AppContext): { repo: string | undefined; branch: string | undefined; page: number } {
  const page = c.req.query('page') ?? '0';
  if (!/^\d{1,9}$/.test(page))
    throw new CroftError('invalid', `invalid page value ${JSON.stringify(page.slice(0, 50))}`, { hint: 'Pages are numbered from 0.' });
  return { repo: c.req.query('repo') || undefined, branch: c.req.query('branch') || undefined, page: Number(page) };
}

function number(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,16}$/.test(text)) throw new CroftError('invalid', `${JSON.stringify(text.slice(0, 50))} is not a number`);
  return Number(text);
}

function isPartial(c: AppContext): boolean {
  return c.req.header('HX-Request') === 'true';
}

async function frame(c: AppContext, assets: Assets, clock: Clock): Promise<Frame> {
  const theme = /(?:^|;\s*)croft-theme=(dark|light)(?:;|$)/.exec(c.req.header('cookie') ?? '')?.[1] as 'dark' | 'light' | undefined;
  return { assets: await assets.urls(), now: clock.now(), theme, who: c.var.who };
}

function answer(c: AppContext, body: Awaited<Html>): Response {
  return c.html(body, 200, { 'cache-control': 'no-store', vary: 'HX-Request, Cookie' });
}
