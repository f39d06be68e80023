/**
 * A machine is not trusted to end what it runs, nor to keep to the limits that it was given: where it does not, the end of the run is
 * decided here. Each limit is ample: an honest buildlet meets none of them.
 */
import type { Exit } from '@croft/domain/outcome';
import { HOUR, MINUTE, SECOND, type Clock } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';

export interface Ending {
  /** What was decided, if so. */
  readonly exit: Exit | undefined;
  /** To be called now and then. @throws CroftError when the end is decided, now or before */
  check(): void;
  /** The first decision counts. @throws CroftError always */
  decide(exit: Exit): never;
  /** The machine was told to kill the run. */
  dying(reason: string): void;
}

/** At its limit the tree is dead; what is left in the spool has this long to arrive. */
const overdueMs = HOUR;
const dyingMs = 5 * MINUTE;

export function watchEnd({ limitMs }: { readonly limitMs: number }, clock: Clock): Ending {
  const startedAt = clock.monotonic();
  let dying: { readonly since: number; readonly reason: string } | undefined;
  let exit: Exit | undefined;
  const decide = (end: Exit): never => {
    exit ??= end;
    throw new CroftError('exhausted', 'the end of the run was decided here');
  };
  return {
    get exit() {
      return exit;
    },
    check() {
      const now = clock.monotonic();
      if (exit) decide(exit);
      if (dying && now - dying.since > dyingMs) decide({ kind: 'killed', reason: dying.reason });
      if (now - startedAt > limitMs + overdueMs)
        decide({ kind: 'lost', reason: `its machine has not ended it ${overdueMs / MINUTE} min after its limit of ${limitMs / SECOND} s` });
    },
    decide,
    dying(reason) {
      dying ??= { since: clock.monotonic(), reason };
    },
  };
}

/** Longer than what an honest one says. */
const reasonLength = 4_000;

/** The exit as its machine tells it, in a bounded number of words. */
export function shortened(exit: Exit): Exit {
  if ('reason' in exit) return { ...exit, reason: exit.reason.slice(0, reasonLength) };
  return exit.kind === 'signalled' ? { ...exit, signal: exit.signal.slice(0, 40) } : exit;
}
