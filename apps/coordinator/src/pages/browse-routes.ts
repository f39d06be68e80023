/** The addresses of what one looks through: commits, repositories, builders, search, the events of a build, the audit trail. */
import type { Hono } from 'hono';
import { parseBuildId } from '@croft/domain/names';
import { CroftError } from '@croft/runtime/errors';
import type { Clock } from '@croft/runtime/clock';
import { requireRole } from '@croft/web/identity';
import type { Page } from '@croft/web/html/document';
import type { Html } from '@croft/web/html/markup';
import type { Audit } from '../auth/audit.ts';
import type { AppContext, AppEnv } from '../routes/context.ts';
import { auditPage } from './audit-page.ts';
import { builderPage, buildersPage } from './builders-page.ts';
import { commitPage, commitTitle } from './commit-page.ts';
import { eventsPage, eventsTitle } from './events-page.ts';
import { repoPage, reposPage } from './repos-page.ts';
import { onlyFound, searchPage, searchTitle } from './search-page.ts';

export interface BrowseRoutes {
  readonly clock: Clock;
  readonly audit: Pick<Audit, 'list'>;
  /** The whole page, or to htmx the body alone. */
  readonly show: (c: AppContext, page: Page) => Promise<Response>;
}

const auditLength = 100;

export function mountBrowsing(app: Hono<AppEnv>, { clock, audit, show }: BrowseRoutes): void {
  const live = (c: AppContext, title: string, place: Page['place'], body: Html): Promise<Response> =>
    show(c, { title, place, live: true, body });

  app.get('/repos', async (c) => {
    const { browse, farm } = c.var.capabilities;
    const [repos, { repos: sources }] = await Promise.all([browse.repos({ page: pageOf(c) }), farm()]);
    return live(c, 'Repositories', 'repos', reposPage({ repos, sources, now: clock.now() }));
  });

  app.get('/repos/:repo', async (c) => {
    const { browse, farm } = c.var.capabilities;
    const [repo, { repos: sources }] = await Promise.all([browse.repo(c.req.param('repo')), farm()]);
    const source = sources.find(({ name }) => name === repo.name);
    return live(c, repo.name, 'repos', repoPage({ repo, source, now: clock.now() }));
  });

  app.get('/repos/:repo/commits/:revision', async (c) => {
    const detail = await c.var.capabilities.browse.commit(c.req.param('repo'), c.req.param('revision'));
    return live(c, commitTitle(detail), 'repos', commitPage({ detail, now: clock.now() }));
  });

  app.get('/builders', async (c) => {
    const builders = await c.var.capabilities.browse.builders({ page: pageOf(c) });
    return live(c, 'Builders', 'builders', buildersPage({ builders, now: clock.now() }));
  });

  app.get('/builders/:builder', async (c) => {
    const builder = await c.var.capabilities.browse.builder(c.req.param('builder'));
    return live(c, builder.name, 'builders', builderPage({ builder, now: clock.now() }));
  });

  app.get('/search', async (c) => {
    const text = (c.req.query('q') ?? '').trim();
    const found = await c.var.capabilities.browse.search(text);
    const only = onlyFound(text, found);
    if (only !== undefined) return c.redirect(only, 303);
    return show(c, { title: searchTitle(text), place: 'search', searched: text, body: searchPage({ text, found, now: clock.now() }) });
  });

  app.get('/builds/:build/events', async (c) => {
    const build = await c.var.capabilities.build(parseBuildId(c.req.param('build')));
    if (!build) throw new CroftError('not-found', 'there is no such build');
    return live(c, eventsTitle(build), 'build', eventsPage({ build, now: clock.now() }));
  });

  app.get('/audit', async (c) => {
    const { who } = c.var;
    requireRole(who, 'admin');
    if (who.repos.length > 0) throw new CroftError('forbidden', 'a token limited to some repositories cannot read the audit trail');
    const asked = c.req.query('before');
    if (asked !== undefined && !/^\d{1,15}$/.test(asked)) throw new CroftError('invalid', 'no such place in the audit trail');
    const before = asked === undefined ? undefined : Number(asked);
    const list = await audit.list({ before, limit: auditLength });
    return show(c, { title: 'Audit', place: 'audit', body: auditPage({ ...list, first: before === undefined, now: clock.now() }) });
  });
}

function pageOf(c: AppContext): number {
  const page = c.req.query('page') ?? '0';
  if (/^\d{1,6}$/.test(page)) return Number(page);
  throw new CroftError('invalid', `invalid page value ${JSON.stringify(page.slice(0, 50))}`, { hint: 'Pages are numbered from 0.' });
}
