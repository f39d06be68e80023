/** The addresses of borrowed machines. Forms come in as operations: admitted and recorded before they get here. */
import type { Hono } from 'hono';
import { parseBuildId } from '@croft/domain/names';
import {
  holdRequestSchema,
  reproRequestSchema,
  sessionEndSchema,
  sessionNoteSchema,
  sessionRequestSchema,
  sessionShareSchema,
  type SessionView,
} from '@croft/protocol/sessions';
import { SECOND, type Clock } from '@croft/runtime/clock';
import { CroftError, isCode } from '@croft/runtime/errors';
import { readForm, parseInput } from '@croft/web/body';
import type { Page } from '@croft/web/html/document';
import { hasRole } from '@croft/web/identity';
import type { AppContext, AppEnv } from '../routes/context.ts';
import type { Shells } from '../sessions/shells.ts';
import { showFiles } from './session-file-routes.ts';
import { runsFragment, sessionFragment, sessionPage, sessionTitle, type SessionPageView } from './session-page.ts';
import { mayUse, type Reader } from './session-parts.ts';
import { choicesOf, sessionFilters, sessionsPage, type SessionFilter } from './sessions-page.ts';

export interface SessionRoutes {
  readonly clock: Clock;
  readonly shells: Pick<Shells, 'runs'>;
  /** The whole page, or to htmx the body alone. */
  readonly show: (c: AppContext, page: Page) => Promise<Response>;
}

const askMachineMs = 5 * SECOND;

export function mountSessions(app: Hono<AppEnv>, deps: SessionRoutes): void {
  const { clock, show } = deps;
  app.get('/sessions', async (c) => showList(c, deps));

  app.post('/sessions', async (c) => {
    const wish = await formOf(c, sessionRequestSchema);
    const { url } = await c.var.capabilities.sessions.create(c.var.who, wish);
    return goTo(c, url);
  });

  app.get('/sessions/:session', async (c) => {
    const session = await c.var.capabilities.sessions.get(c.var.who, c.req.param('session'));
    const view = { session, reader: readerOf(c), now: clock.now() };
    if (isPartial(c)) return showPart(c, deps, sessionFragment(view));
    const whole = { ...view, ...(await onMachine(c, view, deps)) };
    return show(c, {
      title: sessionTitle(session),
      place: 'sessions',
      live: true,
      withTerminal: session.state === 'active' && mayUse(session, view.reader),
      body: sessionPage(whole),
    });
  });

  app.get('/sessions/:session/runs', async (c) => {
    const session = await c.var.capabilities.sessions.get(c.var.who, c.req.param('session'));
    if (!isPartial(c)) return c.redirect(session.url, 303);
    const view = { session, reader: readerOf(c), now: clock.now() };
    return showPart(c, deps, runsFragment({ ...view, ...(await onMachine(c, view, deps)) }));
  });

  for (const [act, does] of Object.entries(acts)) {
    app.post(`/sessions/:session/${act}`, async (c) => {
      const form = Object.fromEntries(await readForm(c.req.raw));
      const { back, ...fields } = form;
      const session = await does(c, c.req.param('session'), fields);
      if (!isPartial(c)) return c.redirect(back === 'sessions' ? '/sessions' : session.url, 303);
      if (back === 'sessions') return showList(c, deps);
      return showPart(c, deps, sessionFragment({ session, reader: readerOf(c), now: clock.now() }));
    });
  }

  for (const [act, does] of Object.entries(buildActs)) {
    app.post(`/builds/:build/${act}`, async (c) => {
      const session = await does(c, c.req.param('build'), Object.fromEntries(await readForm(c.req.raw)));
      return goTo(c, session.url);
    });
  }
}

type Fields = Readonly<Record<string, string | File>>;

/** By the last part of their address. */
const acts: Readonly<Record<string, (c: AppContext, name: string, fields: Fields) => Promise<SessionView>>> = {
  extend: async (c, name, fields) => c.var.capabilities.sessions.extend(c.var.who, name, lengthOf(fields['forMs'])),
  async share(c, name, fields) {
    const names = String(fields['with'] ?? '').split(/[\s,]+/);
    const { with: others } = parseInput(sessionShareSchema, { with: names.filter((one) => one !== '') }, 'the form');
    return c.var.capabilities.sessions.share(c.var.who, name, others);
  },
  note: async (c, name, fields) =>
    c.var.capabilities.sessions.note(c.var.who, name, parseInput(sessionNoteSchema, fields, 'the form').note),
  async destroy(c, name, { why }) {
    const given = why === '' || why === undefined ? {} : { why };
    return c.var.capabilities.sessions.end(c.var.who, name, parseInput(sessionEndSchema, given, 'the form').why);
  },
};

const buildActs: Readonly<Record<string, (c: AppContext, build: string, fields: Fields) => Promise<SessionView>>> = {
  async hold(c, build, { forMs, note = '' }) {
    const length = forMs === undefined || forMs === '' ? {} : { forMs: lengthOf(forMs) };
    return c.var.capabilities.sessions.builds.hold(
      c.var.who,
      parseBuildId(build),
      parseInput(holdRequestSchema, { ...length, note }, 'the form'),
    );
  },
  repro: async (c, build, { note = '' }) =>
    c.var.capabilities.sessions.builds.repro(c.var.who, parseBuildId(build), parseInput(reproRequestSchema, { note }, 'the form')),
};

function lengthOf(text: unknown): number {
  if (typeof text === 'string' && /^[1-9]\d{0,11}$/.test(text)) return Number(text);
  throw new CroftError('invalid', 'the form does not say for how long');
}

async function formOf<T>(c: AppContext, schema: Parameters<typeof parseInput<T>>[0]): Promise<T> {
  return parseInput(schema, Object.fromEntries(await readForm(c.req.raw)), 'the form');
}

async function showList(c: AppContext, { clock, show }: SessionRoutes): Promise<Response> {
  const { who, capabilities } = c.var;
  const filter = filterOf(c.req.method === 'GET' ? c.req.query('show') : undefined);
  const [sessions, kinds] = await Promise.all([
    capabilities.sessions.list(who, { mine: filter === 'mine', ended: filter === 'ended' }),
    capabilities.machineKinds(),
  ]);
  const body = sessionsPage({
    sessions,
    filter,
    choices: choicesOf(capabilities.farmer.builders, kinds),
    builder: c.req.query('builder'),
    reader: readerOf(c),
    now: clock.now(),
  });
  return show(c, { title: 'Sessions', place: 'sessions', live: true, body });
}

function filterOf(text: string | undefined): SessionFilter {
  const found = sessionFilters.find((one) => one === (text ?? 'all'));
  if (found) return found;
  throw new CroftError('invalid', `there are all sessions, mine and ended ones, not ${JSON.stringify(text?.slice(0, 50))}`);
}

/** What its machine tells. Looking counts as use, so it is asked with the whole page and when somebody does something, not each second. */
async function onMachine(
  c: AppContext,
  { session, reader }: Pick<SessionPageView, 'session' | 'reader'>,
  { clock, shells }: SessionRoutes,
): Promise<Pick<SessionPageView, 'runs' | 'run' | 'files'>> {
  if (session.state !== 'active' || !mayUse(session, reader)) return {};
  const run = c.req.query('run');
  const shown = run === undefined || !/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(run) ? {} : { run };
  try {
    using entered = await c.var.capabilities.sessions.enter(c.var.who, session.id);
    const [runs, files] = await Promise.all([
      shells.runs(entered, { signal: clock.deadline(askMachineMs) }),
      isPartial(c) ? undefined : showFiles(entered, c.req.query('dir') ?? '', clock),
    ]);
    return { ...shown, runs, files };
  } catch (error) {
    if (isCode(error, 'internal') || !(error instanceof CroftError)) throw error;
    return shown;
  }
}

function readerOf({ var: { who } }: AppContext): Reader {
  return { name: who.name, may: (role) => hasRole(who, role) };
}

/** After a form. */
function goTo(c: AppContext, url: string): Response {
  return isPartial(c) ? c.body(null, 204, { 'HX-Redirect': url }) : c.redirect(url, 303);
}

function isPartial(c: AppContext): boolean {
  return c.req.header('HX-Request') === 'true';
}

function showPart(c: AppContext, { show }: SessionRoutes, body: Page['body']): Promise<Response> {
  return show(c, { title: '', place: 'sessions', body });
}
