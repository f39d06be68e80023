/** The originals' surface, wired to the parts that do the work. */
import type { FarmConfig } from '@croft/config/farm-config';
import type { BuildId } from '@croft/domain/names';
import type { Clock } from '@croft/runtime/clock';
import type { Database } from '@croft/store/database';
import type { Finder } from '../builds/find-loop.ts';
import type { Records } from '../builds/records.ts';
import type { Changes } from '../changes.ts';
import type { Metrics } from '../events.ts';
import type { AttemptLogs } from '../logs/attempt-logs.ts';
import type { Machines } from '../machines/watch-machines.ts';
import { createDashboard, type Dashboard } from './dashboard.ts';
import { createFarmer, type Farmer } from './farmer.ts';
import { createPackages } from './packages.ts';

interface Parts {
  readonly db: Database;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly version: string;
}

interface Works {
  readonly records: Pick<Records, 'retry'>;
  readonly finder: Pick<Finder, 'find'>;
  readonly logs: AttemptLogs;
  readonly machines: Pick<Machines, 'list'>;
  readonly tell: Changes['tell'];
  /** Work may be waiting. */
  wake(): void;
}

export function createOriginals(
  config: () => FarmConfig,
  { db, clock, metrics, version }: Parts,
  { records, finder, logs, machines, tell, wake }: Works,
): { dashboard: Dashboard; farmer: Farmer } {
  const dashboard = createDashboard({
    db,
    clock,
    metrics,
    logs,
    builders: () => config().builders,
    packages: () =>
      createPackages(
        config().repos.map((repo) => repo.name),
        config().dependents[0]?.toolchain,
      ),
    onMove(id: BuildId) {
      tell({ kind: 'build', id });
      wake();
    },
    async retry(build) {
      await records.retry(build);
      wake();
    },
    look: (repo) => void finder.find(repo, {}).catch(() => undefined), // the look is the finder's own, and it tells of its failures
  });
  return { dashboard, farmer: createFarmer({ db, config, clock, version, watched: machines.list }) };
}
