/**
 * The originals' view of the grid for programs: `/?mode=json` and `/?mode=failures` (coordinator.md UI-1, UI-8, JSON-1 to 3).
 * Where there a log's hash stood in an address, here stands the attempt's own log address, which is as permanent.
 */
import type { Hono } from 'hono';
import { legacyResult } from '@croft/domain/outcome';
import type { BuildSummary, Grid } from '@croft/protocol/api';
import { CroftError } from '@croft/runtime/errors';
import { iso } from '@croft/web/html/format';
import { requireRole } from '@croft/web/identity';
import type { Capabilities } from '../capabilities.ts';
import type { AppContext, AppEnv } from './context.ts';

const pageSize = 30;
/** `mixed` reads every page before the one wanted, of each branch. */
const mixedPages = 20;
const mixedBranches = 50;

/** Without a mode, the request is for the page behind this. */
export function mountLegacyResults(app: Hono<AppEnv>): void {
  app.get('/', async (c, next) => {
    const mode = c.req.query('mode') ?? '';
    if (mode === '') return next();
    if (mode !== 'json' && mode !== 'failures')
      throw new CroftError('invalid', `unknown mode "${mode.slice(0, 40)}"`, { hint: 'There are json and failures.' });
    requireRole(c.var.who, 'viewer');
    const grid = await readGrid(c);
    if (mode === 'json') return c.body(legacyJson(grid, c.var.origin), 200, { 'content-type': 'text/json; charset=utf-8' });
    return c.body(failureLines(grid, c.var.origin), 200, { 'content-type': 'text/plain; charset=utf-8' });
  });
}

/** @throws CroftError `invalid` with the originals' words. */
function legacyPage(text: string | undefined): number {
  if (text === undefined || text === '') return 0;
  if (!/^[+-]?\d{1,9}$/.test(text)) throw new CroftError('invalid', `invalid page value ${JSON.stringify(text.slice(0, 40))}`);
  const page = Number(text);
  if (page < 0) throw new CroftError('invalid', 'negative page');
  return page;
}

async function readGrid(c: AppContext): Promise<Grid> {
  const page = legacyPage(c.req.query('page'));
  const [repo, branch] = [c.req.query('repo') || undefined, c.req.query('branch') || undefined];
  return branch === 'mixed' ? mixed(c.var.capabilities, repo, page) : c.var.capabilities.grid({ repo, branch, page, pageSize });
}

/** All branches in one, newest commits first. */
async function mixed(capabilities: Capabilities, repo: string | undefined, page: number): Promise<Grid> {
  if (page > mixedPages)
    throw new CroftError('invalid', `all branches together have at most ${mixedPages + 1} pages`, { hint: 'Ask for one branch.' });
  const query = { repo, page: 0, pageSize: (page + 1) * pageSize };
  const first = await capabilities.grid(query);
  const others = first.branches.filter((branch) => branch !== first.branch).slice(0, mixedBranches);
  const rest = await Promise.all(others.map((branch) => capabilities.grid({ ...query, branch })));
  const builders = [...new Set([first, ...rest].flatMap((grid) => grid.builders))];
  const rows = new Map<string, Grid['rows'][number]>();
  for (const grid of [first, ...rest]) {
    for (const { commit, cells } of grid.rows) {
      if (rows.has(commit.revision)) continue;
      rows.set(commit.revision, { commit, cells: builders.map((builder) => cells[grid.builders.indexOf(builder)] ?? null) });
    }
  }
  const sorted = [...rows.values()].toSorted((a, b) => b.commit.committedAt - a.commit.committedAt);
  return { ...first, branch: 'mixed', page, builders, rows: sorted.slice(page * pageSize, (page + 1) * pageSize) };
}

function legacyJson(grid: Grid, origin: string): string {
  const revisions = grid.rows.map(({ commit, cells }) => ({
    repo: commit.repo,
    revision: commit.revision,
    date: iso(commit.committedAt),
    branch: grid.branch,
    author: `${commit.authorName} <${commit.authorEmail}>`,
    desc: commit.subject,
    results: cells.map((cell) => resultOf(cell, origin)),
  }));
  return goJson({ builders: grid.builders, revisions: revisions.length > 0 ? revisions : null });
}

function failureLines(grid: Grid, origin: string): string {
  return grid.rows
    .flatMap(({ commit, cells }) =>
      cells.map((cell, index) => ({ result: resultOf(cell, origin), line: `${commit.revision} ${grid.builders[index]} ` })),
    )
    .filter(({ result }) => result !== '' && result !== 'ok')
    .map(({ result, line }) => `${line}${result}\n`)
    .join('');
}

/** A build that runs again counts as one without a result. */
function resultOf(cell: BuildSummary | null, origin: string): string {
  return cell ? legacyResult(cell.end, `${origin}${cell.url}/attempts/${cell.attempts}/log`) : '';
}

/** As Go's encoder writes it: tabs, and nothing that could be taken for markup. */
function goJson(value: unknown): string {
  const escapes = /[<>&\u2028\u2029]/g;
  return JSON.stringify(value, null, '\t').replace(escapes, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
