/** Builders with what they did lately: a strip of ends, how many of them passed, how long they take. */
import type { Builder } from '@croft/domain/job';
import { parseBuilderName, type BuilderName } from '@croft/domain/names';
import type { BuildSummary } from '@croft/protocol/api';
import { CroftError } from '@croft/runtime/errors';
import { medianDurationMs } from '@croft/store/attempts';
import { listBuilds } from '@croft/store/build-lists';
import type { Sql } from '@croft/store/database';
import { summarize, type Outlook } from '../queries/read-builds.ts';
import { browseSize, type BuilderDetail, type BuilderOverview, type Paged, type PageQuery, type SuccessRate } from './browse.ts';

const stripLength = 20;
const historyLength = 100;
const shownWaiting = 20;

export async function readBuilders(sql: Sql, { page, allowed = () => true }: PageQuery, outlook: Outlook): Promise<Paged<BuilderOverview>> {
  const known = outlook.builders.filter((builder) => builder.repos.some(allowed));
  const rows: BuilderOverview[] = [];
  for (const { name, repos } of known.slice(page * browseSize, (page + 1) * browseSize))
    rows.push(await overviewOf(sql, { name, repos, length: stripLength }, outlook));
  return { rows, page, total: known.length };
}

/** @throws CroftError `not-found` when it neither is configured nor ever built anything */
export async function readBuilder(sql: Sql, asked: string, outlook: Outlook): Promise<BuilderDetail> {
  const unknown = new CroftError('not-found', `no builder is called ${JSON.stringify(asked.slice(0, 100))}`);
  const name = parse(asked, unknown);
  const configured = outlook.builders.find((builder) => builder.name === name);
  const overview = await overviewOf(sql, { name, repos: configured?.repos ?? [], length: historyLength }, outlook);
  const active = await listBuilds(sql, { builder: name, state: 'running', limit: shownWaiting });
  const queued = await listBuilds(sql, { builder: name, state: 'queued', limit: shownWaiting });
  if (!configured && overview.recent.length + active.length + queued.length === 0) throw unknown;
  const { needs, isolation, trust, knownIssues, hostType } = configured ?? {};
  const settings = configured && { needs, isolation, trust, knownIssues, hostType };
  return {
    ...overview,
    repos: configured?.repos ?? [...new Set(overview.recent.map(({ repo }) => repo))],
    settings: settings as BuilderDetail['settings'],
    steps: stepsOf(configured),
    waiting: await summarize(sql, [...active, ...queued], outlook),
  };
}

interface Wanted {
  readonly name: BuilderName;
  readonly repos: readonly string[];
  readonly length: number;
}

async function overviewOf(sql: Sql, { name, repos, length }: Wanted, outlook: Outlook): Promise<BuilderOverview> {
  const recent = await summarize(sql, await listBuilds(sql, { builder: name, state: 'ended', limit: length }), outlook);
  return { name, repos, recent, rate: rateOf(recent), medianMs: await medianDurationMs(sql, name) };
}

export function rateOf(builds: readonly Pick<BuildSummary, 'end'>[]): SuccessRate {
  const count = (...kinds: string[]): number => builds.filter(({ end }) => end !== undefined && kinds.includes(end.kind)).length;
  return { passed: count('passed'), failed: count('failed', 'timed-out'), infra: count('infra') };
}

function parse(asked: string, unknown: CroftError): BuilderName {
  try {
    return parseBuilderName(asked);
  } catch {
    throw unknown;
  }
}

/** Without their arguments and environment: people put secrets there. */
function stepsOf(builder: Builder | undefined): BuilderDetail['steps'] {
  if (!builder || builder.steps === 'detect') return 'detect';
  return builder.steps.map(({ name, limitMs }) => ({ name, limitMs }));
}
