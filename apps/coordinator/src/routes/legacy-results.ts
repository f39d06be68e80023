/**
 * The originals' view of the grid for programs: `/?mode=json` and `/?mode=failures` (coordinator.md UI-1, UI-8, JSON-1 to 3). A
 * failure's address is that of its log's SHA-1, which their tools take apart.
 */
import type { Hono } from 'hono';
import { CroftError } from '@croft/runtime/errors';
import { iso } from '@croft/web/html/format';
import { requireRole } from '@croft/web/identity';
import type { ResultPage } from '../originals/read-results.ts';
import type { AppEnv } from './context.ts';

/** Without a mode, the request is for the page behind this. */
export function mountLegacyResults(app: Hono<AppEnv>): void {
  app.on(['POST', 'PUT', 'DELETE', 'PATCH'], '/', () => {
    throw new CroftError('invalid', 'unsupported method');
  });
  app.get('/', async (c, next) => {
    const mode = c.req.query('mode') ?? '';
    if (mode === '') return next();
    if (mode !== 'json' && mode !== 'failures')
      throw new CroftError('invalid', `unknown mode "${mode.slice(0, 40)}"`, { hint: 'There are json and failures.' });
    requireRole(c.var.who, 'viewer');
    const [repo, branch] = [c.req.query('repo') || undefined, c.req.query('branch') || undefined];
    const results = await c.var.capabilities.dashboard.results({ repo, branch, page: legacyPage(c.req.query('page')) });
    if (mode === 'json') return c.body(legacyJson(results, c.var.origin), 200, { 'content-type': 'text/json; charset=utf-8' });
    return c.body(failureLines(results, c.var.origin), 200, { 'content-type': 'text/plain; charset=utf-8' });
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

function legacyJson({ builders, rows }: ResultPage, origin: string): string {
  const revisions = rows.map((row) => ({
    repo: row.repo,
    revision: row.revision,
    goRevision: row.goRevision,
    date: iso(row.committedAt),
    branch: row.branch,
    author: `${row.authorName} <${row.authorEmail}>`,
    desc: row.subject,
    results: row.results.map((result) => addressOf(result, origin)),
  }));
  return goJson({ builders, revisions: revisions.length > 0 ? revisions : null });
}

function failureLines({ builders, rows }: ResultPage, origin: string): string {
  const lines = rows.flatMap(({ revision, results }) =>
    results.map((result, index) => (isLog(result) ? `${revision} ${builders[index]} ${addressOf(result, origin)}\n` : '')),
  );
  return lines.join('');
}

function addressOf(result: string, origin: string): string {
  return isLog(result) ? origin + result : result;
}

function isLog(result: string): boolean {
  return result.startsWith('/');
}

/** As Go's encoder writes it: tabs, and nothing that could be taken for markup. */
export function goJson(value: unknown): string {
  const escapes = /[<>&\u2028\u2029]/g;
  return JSON.stringify(value, null, '\t').replace(escapes, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
