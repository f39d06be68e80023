/** What the farm tells of itself: to its pages, to who asks whether it is ready, and as metrics. */
import type { Clock } from '@croft/runtime/clock';
import { errorText } from '@croft/runtime/errors';
import type { Pool } from '@croft/fleet/pool';
import { countQueuedByBand } from '@croft/store/build-lists';
import type { Database } from '@croft/store/database';
import { countSessions } from '@croft/store/sessions';
import type { Drivers } from './builds/drive-builds.ts';
import type { LiveConfig } from './configuration/live-config.ts';
import type { Disk } from './disk.ts';
import type { Observed } from './events.ts';
import type { SelfTests } from './machines/self-tests.ts';
import { shortfalls } from './machines/stored-machines.ts';
import type { Machines } from './machines/watch-machines.ts';
import type { FarmFacts } from './queries/read-farm.ts';
import { countMachines } from './queries/read-machines.ts';

interface Sources {
  readonly disk: Disk;
  readonly machines: Pick<Machines, 'list' | 'troubles'>;
  readonly selfTests: Pick<SelfTests, 'shown'>;
  readonly drivers: Pick<Drivers, 'troubles'>;
  readonly live: LiveConfig;
}

export function factsOf(
  { version, clock, pools }: { readonly version: string; readonly clock: Clock; readonly pools: () => readonly Pool[] },
  { disk, machines, selfTests, drivers, live }: Sources,
): () => FarmFacts {
  const startedAt = clock.now();
  return () => ({
    version,
    startedAt,
    hold: disk.hold(),
    disk: disk.state(),
    watched: machines.list().map((one) => ({ ...one, observed: { ...one.observed, selfTest: selfTests.shown(one.observed) } })),
    dialIn: shortfalls(pools()),
    troubles: [...machines.troubles(), ...drivers.troubles()],
    config: live.current(),
    status: live.status(),
  });
}

export function readiness(inTheWay: readonly (string | undefined)[]): { ready: boolean; reasons: string[] } {
  const reasons = inTheWay.filter((reason) => reason !== undefined);
  return { ready: reasons.length === 0, reasons };
}

/** Why the database does not answer, if so. */
export async function silenceOf(db: Database): Promise<string | undefined> {
  try {
    await db.read((sql) => sql.get('SELECT 1 AS one'));
    return undefined;
  } catch (error) {
    return errorText(error);
  }
}

export async function observe(db: Database, machines: Pick<Machines, 'list'>): Promise<Observed> {
  return {
    queue: await db.read(countQueuedByBand),
    sessions: await db.read(countSessions),
    machines: await db.read((sql) => countMachines(sql, machines.list())),
  };
}
