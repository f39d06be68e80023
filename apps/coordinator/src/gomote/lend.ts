/** Waiting for a machine on behalf of one of Go's clients, whichever wire it came over: how it stands every five seconds, then the session. */
import type { SessionView } from '@croft/protocol/sessions';
import { SECOND, type Clock } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import type { Person, Sessions } from '../sessions/sessions.ts';

export interface Lending {
  /** The first of all, told at once. */
  readonly isFirst: boolean;
  readonly session: SessionView;
}

const tellMs = 5 * SECOND;
/** Sessions tell how they stand as often, by a clock of their own. */
const slackMs = 100;

/**
 * The last one is active. Who goes away before leaves the queue.
 * @throws CroftError when there is no such builder, or it ended before it had a machine
 */
export async function* lend(who: Person, builder: string, { sessions, clock, gone }: LendDeps): AsyncGenerator<Lending> {
  const begun = await sessions.create(who, { builder, note: 'borrowed with Go’s gomote' });
  let toldAt: number | undefined;
  let isLent = false;
  try {
    for await (const session of sessions.follow(who, begun.id, { signal: gone })) {
      if (session.state === 'ended') throw new CroftError('unavailable', session.endReason ?? 'it ended before it had a machine');
      isLent = session.state === 'active';
      const now = clock.monotonic();
      if (!isLent && toldAt !== undefined && now - toldAt < tellMs - slackMs) continue;
      yield { isFirst: toldAt === undefined, session };
      toldAt = now;
      if (isLent) return;
    }
  } finally {
    if (!isLent || gone.aborted) await sessions.end(who, begun.id, 'whoever asked for it has gone away').catch(() => undefined);
  }
}

export interface LendDeps {
  readonly sessions: Pick<Sessions, 'create' | 'follow' | 'end'>;
  readonly clock: Clock;
  readonly gone: AbortSignal;
}
