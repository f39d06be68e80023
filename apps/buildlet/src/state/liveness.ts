/** Notices that no coordinator has been heard for too long. @see docs/protocols/runs.md#liveness */
import type { Clock } from '@croft/runtime/clock';
import type { TaskGroup } from '@croft/runtime/tasks';

export interface Liveness {
  /** A sign of life. */
  heard(): void;
  /** Resolves when there was none for the whole time. */
  readonly orphaned: Promise<void>;
}

export function watchLiveness(orphanedAfterMs: number, { clock, tasks }: { clock: Clock; tasks: TaskGroup }): Liveness {
  const orphaned = Promise.withResolvers<void>();
  let heardAt = clock.monotonic();
  tasks.start('wait for a sign of life', async ({ signal }) => {
    for (;;) {
      const left = heardAt + orphanedAfterMs - clock.monotonic();
      if (left <= 0) break;
      await clock.sleep(left, { signal });
    }
    orphaned.resolve();
  });
  return {
    heard() {
      heardAt = clock.monotonic();
    },
    orphaned: orphaned.promise,
  };
}
