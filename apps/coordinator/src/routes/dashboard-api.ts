/**
 * What the originals' builders and tools ask of their dashboard (coordinator.md 9.2, 9.3, D17-1 to D17-3): parameters in the query,
 * answers `{"Response", "Error"}`, with status 200 even for a failure where a key is shown, since that is what such programs read.
 */
import type { Hono } from 'hono';
import * as z from 'zod';
import { parseBuilderName, parseRevision, type RepoName, type Revision } from '@croft/domain/names';
import { CroftError } from '@croft/runtime/errors';
import type { RoleName } from '@croft/protocol/api';
import { parseInput, readText } from '@croft/web/body';
import { iso } from '@croft/web/html/format';
import { requireRole } from '@croft/web/identity';
import type { Admitted, Asking } from '../originals/admit.ts';
import type { BuilderKeys } from '../originals/builder-keys.ts';
import type { Dashboard } from '../originals/dashboard.ts';
import { findTodo } from '../originals/todo.ts';
import type { AppContext, AppEnv } from './context.ts';
import { fromOf } from './perform.ts';

export interface DashboardApiDeps {
  readonly admit: (asking: Asking) => Promise<Admitted>;
  readonly keys: BuilderKeys | undefined;
}

const builderVersion = 1;
const watcherVersion = 3;
/** Logs of the originals have 2 MiB, and JSON may make six bytes of one. */
const resultLimitBytes = 16 * 1024 * 1024;

const text = z.string().default('');
const resultSchema = z.object({
  Builder: text,
  PackagePath: text,
  Hash: text,
  GoHash: text,
  OK: z.boolean().default(false),
  Log: text,
  /** ns */
  RunTime: z.number().min(0).default(0),
});
const commitSchema = z.object({
  PackagePath: text,
  Hash: text,
  ParentHash: text,
  User: text,
  Desc: text,
  Time: z.iso.datetime({ offset: true }),
  Branch: text,
  NeedsBenchmarking: z.boolean({ error: 'is missing: this is an old watcher' }),
});

/** Requests that are carried out for the key in their address, so that a form without an origin may make them. */
export function provesByKey({ pathname, searchParams }: URL): boolean {
  return ['/result', '/clear-results', '/building', '/commit'].includes(pathname) && searchParams.has('key');
}

export function mountDashboardApi(app: Hono<AppEnv>, deps: DashboardApiDeps): void {
  app.post('/result', (c) => change(c, deps, { role: 'operator', act: (admitted) => postResult(c, admitted) }));
  app.post('/clear-results', (c) => change(c, deps, { role: 'developer', act: () => clearResults(c) }));
  app.post('/building', (c) => change(c, deps, { role: 'operator', act: () => markBuilding(c) }));
  app.post('/commit', (c) => change(c, deps, { role: 'operator', masterOnly: true, act: () => postCommit(c) }));
  app.get('/commit', (c) => look(c, () => getCommit(c)));
  app.get('/todo', (c) => look(c, () => getTodo(c)));
  app.get('/packages', (c) => look(c, async () => listPackages(c)));
  app.get('/key', (c) => {
    requireRole(c.var.who, 'admin');
    if (c.var.who.repos.length > 0) throw new CroftError('forbidden', 'a token limited to some repositories cannot have builder keys');
    if (!deps.keys)
      throw new CroftError('not-found', 'builder keys are not accepted by this farm', {
        hint: 'The operator can set compat.goBuilderKeys.',
      });
    const builder = parseBuilderName(c.req.query('builder') ?? '');
    return c.text(deps.keys.keyOf(builder), 200, { 'cache-control': 'no-store' });
  });
}

interface Change {
  readonly role: RoleName;
  readonly masterOnly?: boolean;
  act(admitted: Admitted): Promise<unknown>;
}

/** Who shows a key is answered as the originals answer; who is known otherwise gets the status that the failure has. */
async function change(c: AppContext, { admit }: DashboardApiDeps, { act, ...needs }: Change): Promise<Response> {
  const key = c.req.query('key');
  const builder = c.req.query('builder') ?? '';
  const target = [builder, c.req.query('hash')].filter(Boolean).join(' ');
  const what = `original.${c.req.path.slice(1)}`;
  const work = async (): Promise<unknown> => act(await admit({ what, target, from: fromOf(c), key, builder, who: c.var.who, ...needs }));
  return key === undefined ? envelope(c, await work()) : answered(c, work);
}

async function look(c: AppContext, read: () => Promise<unknown>): Promise<Response> {
  requireRole(c.var.who, 'viewer');
  return answered(c, read);
}

async function answered(c: AppContext, work: () => Promise<unknown>): Promise<Response> {
  try {
    return envelope(c, await work());
  } catch (error) {
    if (!(error instanceof CroftError) || error.code === 'internal') throw error;
    return envelope(c, null, error.message);
  }
}

function envelope(c: AppContext, response: unknown, error = ''): Response {
  return c.json({ Response: response ?? null, Error: error });
}

async function postResult(c: AppContext, admitted: Admitted): Promise<void> {
  const version = numberIn(c.req.query('version'));
  if (version !== builderVersion)
    throw new CroftError('invalid', `rejecting POST from builder; need version ${builderVersion} instead of ${version}`);
  const result = parseInput(resultSchema, await readJsonText(c, resultLimitBytes), 'the result');
  const builder = parseBuilderName(result.Builder);
  if (admitted.builder !== undefined && admitted.builder !== builder)
    throw new CroftError('forbidden', `the key of builder "${admitted.builder}" cannot file a result of "${builder}"`);
  const { dashboard } = c.var.capabilities;
  const repo = dashboard.packages.repoOf(result.PackagePath);
  const { main } = dashboard.packages;
  const beside =
    result.GoHash === '' || main === undefined || repo === main ? [] : [{ repo: main, revision: parseRevision(result.GoHash) }];
  const revisions = [{ repo, revision: parseRevision(result.Hash) }, ...beside];
  const runMs = Math.min(result.RunTime / 1e6, 366 * 24 * 3_600_000);
  await retriable(dashboard.report({ builder, revisions, passed: result.OK, log: result.Log, runMs: Math.round(runMs) }));
}

/** Their programs try again when they read this. */
async function retriable(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!(error instanceof CroftError) || error.code !== 'conflict' || error.hint !== undefined) throw error;
    throw new CroftError('conflict', 'datastore: concurrent transaction', { cause: error });
  }
}

async function clearResults(c: AppContext): Promise<unknown> {
  const builder = c.req.query('builder') ?? '';
  if (builder === '') throw new CroftError('invalid', 'must specify a builder');
  const hashes = (c.req.query('hash') ?? '').split(',').filter((hash) => hash !== '');
  const { dashboard } = c.var.capabilities;
  const repo = dashboard.packages.repoOf(c.req.query('packagePath') ?? '');
  const wish = { builder: parseBuilderName(builder), repo, revisions: hashes.map(parseRevision) };
  const cleared = await dashboard.clear(wish, { signal: c.req.raw.signal });
  return { cleared };
}

async function markBuilding(c: AppContext): Promise<unknown> {
  const builder = parseBuilderName(c.req.query('builder') ?? '');
  const commit = parseRevision(c.req.query('hash') ?? '');
  const goHash = c.req.query('gohash') ?? '';
  const go: { goCommit?: Revision } = goHash === '' ? {} : { goCommit: parseRevision(goHash) };
  const given = c.req.query('url') ?? '';
  const url = /^https?:\/\//.test(given) && given.length <= 2_000 && URL.canParse(given) ? given : '';
  c.var.capabilities.dashboard.mark({ builder, commit, ...go, url });
  return { key: ['building', commit, goHash, builder].join('|') };
}

async function getCommit(c: AppContext): Promise<unknown> {
  const { dashboard } = c.var.capabilities;
  const repo = dashboard.packages.repoOf(c.req.query('packagePath') ?? '');
  return commitJson(dashboard, repo, parseRevision(c.req.query('hash') ?? ''));
}

async function getTodo(c: AppContext): Promise<unknown> {
  const { dashboard } = c.var.capabilities;
  const builder = parseBuilderName(c.req.query('builder') ?? '');
  const goHash = c.req.query('goHash') ?? '';
  const todo = await findTodo(dashboard, {
    kinds: c.req.queries('kind') ?? [],
    builder,
    repo: dashboard.packages.repoOf(c.req.query('packagePath') ?? ''),
    goRevision: goHash === '' ? undefined : parseRevision(goHash),
  });
  return todo && { Kind: todo.kind, Data: await commitJson(dashboard, todo.repo, todo.revision) };
}

async function commitJson(dashboard: Dashboard, repo: RepoName, revision: Revision): Promise<unknown> {
  const commit = await dashboard.commit(repo, revision);
  return {
    PackagePath: dashboard.packages.pathOf(repo),
    Hash: commit.revision,
    ParentHash: commit.parents[0] ?? '',
    Num: commit.number,
    User: userOf(commit),
    Desc: commit.subject,
    Time: iso(commit.committedAt),
    NeedsBenchmarking: false,
    TryPatch: false,
    Branch: commit.branch,
    ResultData: null,
    PerfResults: null,
    FailNotificationSent: false,
  };
}

async function postCommit(c: AppContext): Promise<void> {
  const version = numberIn(c.req.query('version'));
  if (version !== watcherVersion)
    throw new CroftError('invalid', `rejecting POST from commit watcher; need version ${watcherVersion} instead of ${version}`);
  const told = parseInput(commitSchema, await readJsonText(c), 'the commit');
  const { dashboard } = c.var.capabilities;
  const user = told.User.slice(0, 500);
  const [, authorName = user, authorEmail = ''] = /^(.*?) *<([^<>]*)>$/.exec(user) ?? [];
  await dashboard.addCommit(dashboard.packages.repoOf(told.PackagePath), told.Branch, {
    revision: parseRevision(told.Hash),
    parents: /^0*$/.test(told.ParentHash) ? [] : [parseRevision(told.ParentHash)],
    authorName: authorName.slice(0, 200),
    authorEmail: authorEmail.slice(0, 200),
    committedAt: Date.parse(told.Time),
    subject: (told.Desc.split('\n', 1)[0] ?? '').slice(0, 500),
  });
}

function listPackages(c: AppContext): Dashboard['packages']['list'] {
  const kind = c.req.query('kind');
  const { list } = c.var.capabilities.dashboard.packages;
  // `go` is the originals' name for the kind that has none.
  return kind === undefined
    ? list.filter((known) => known.Kind !== '')
    : list.filter((known) => known.Kind === (kind === 'go' ? '' : kind));
}

async function readJsonText(c: AppContext, limitBytes?: number): Promise<unknown> {
  const body = await readText(c.req.raw, limitBytes);
  try {
    return JSON.parse(body);
  } catch {
    throw new CroftError('invalid', 'the body is not JSON');
  }
}

function userOf({ authorName, authorEmail }: { authorName: string; authorEmail: string }): string {
  return authorEmail === '' ? authorName : `${authorName} <${authorEmail}>`;
}

/** As Go's parser of numbers with its error passed over. */
function numberIn(given: string | undefined): number {
  return /^[+-]?\d{1,9}$/.test(given ?? '') ? Number(given) : 0;
}
