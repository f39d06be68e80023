/** Makes what waits agree with the configuration: what that does not want any more ends as skipped, the rest queues where it says. */
import type { FarmConfig } from '@croft/config/farm-config';
import { advance } from '@croft/domain/build';
import type { Builder } from '@croft/domain/job';
import type { BuildId } from '@croft/domain/names';
import { selects } from '@croft/domain/pattern';
import { decide } from '@croft/domain/policy';
import type { Clock, Waits } from '@croft/runtime/clock';
import { saveBuildState } from '@croft/store/builds';
import type { Database } from '@croft/store/database';
import { moveWaiting, waitingGroups, waitingOf, type WaitingGroup } from '@croft/store/waiting-builds';

export interface SettleDeps {
  readonly db: Database;
  readonly clock: Clock;
  /** Called when the end of this build is durable. */
  onMove(build: BuildId): void;
}

/** In one transaction; others wait to write meanwhile. */
const batch = 200;

/** May be broken off and called again: it compares what is stored with what is configured. @returns how many were ended */
export async function settleWaiting(config: FarmConfig, { db, clock, onMove }: SettleDeps, { signal }: Waits): Promise<number> {
  let ended = 0;
  for (const group of await db.read(waitingGroups)) {
    signal?.throwIfAborted();
    const why = whyUnwanted(group, config);
    const place = why === undefined ? placeOf(group, config) : undefined;
    if (place) await db.write((sql) => moveWaiting(sql, group, place));
    for (let more = why !== undefined; more && why !== undefined;) {
      signal?.throwIfAborted();
      const at = clock.now();
      const builds = await db.write(async (sql) => {
        const some = await waitingOf(sql, group, batch);
        for (const { id, state } of some) await saveBuildState(sql, id, advance(state, { kind: 'skip', at, why }));
        return some;
      });
      for (const { id } of builds) onMove(id);
      ended += builds.length;
      more = builds.length === batch;
    }
  }
  return ended;
}

type Asked = Pick<WaitingGroup, 'builder' | 'repo' | 'trigger'>;

/** Why the configuration does not want this build (any more); undefined: it does. Pure. */
export function whyUnwanted({ builder: name, repo, trigger }: Asked, { builders, repos, policies }: FarmConfig): string | undefined {
  const builder = builders.find((candidate) => candidate.name === name);
  const source = repos.find((candidate) => candidate.name === repo);
  if (!builder) return `builder ${name} is not configured any more`;
  if (!source) return `repository ${repo} is not configured any more`;
  if (!builder.repos.includes(repo)) return `builder ${name} does not build ${repo} any more`;
  if (trigger.kind !== 'branch') return undefined;
  const branch = trigger.ref;
  const named = [source.branches, builder.branches].every((patterns) => patterns.length === 0 || selects(patterns, branch));
  if (!named) return `branch ${branch} is not built any more`;
  const { allowed, rule } = decide(policies, { builder: name, repo, branch, trigger: 'branch' });
  if (allowed) return undefined;
  const why = rule === undefined ? undefined : policies[rule]?.why;
  return `policies.${rule} denies it${why === undefined ? '' : `: ${why}`}`;
}

/** Where it should queue instead; undefined where it is right. Older commits wait in `back-fill`, whatever their builder's band. */
function placeOf(
  { builder: name, trigger, band, needs }: WaitingGroup,
  { builders }: FarmConfig,
): (Pick<Builder, 'needs'> & { band: typeof band }) | undefined {
  const builder = builders.find((candidate) => candidate.name === name);
  if (!builder) return undefined;
  const { priority } = builder;
  const older = band === 'back-fill' && priority !== 'benchmark';
  const wanted = trigger.kind !== 'branch' || older ? band : priority;
  const same = wanted === band && JSON.stringify(needs) === JSON.stringify(builder.needs);
  return same ? undefined : { band: wanted, needs: builder.needs };
}
