/** Tells those who are on the machine of an attempt that runs when that has ended. */
import type { BuildId } from '@croft/domain/names';
import type { BuildState } from '@croft/domain/build';
import { CroftError } from '@croft/runtime/errors';

export interface AttemptEnds {
  signal(build: BuildId, attempt: number): AbortSignal;
  /** Told of each move of a build. */
  moved(build: BuildId): void;
}

export function createAttemptEnds(stateOf: (build: BuildId) => Promise<BuildState | undefined>): AttemptEnds {
  const watched = new Map<BuildId, { readonly attempt: number; readonly ending: AbortController }>();
  const look = async (build: BuildId): Promise<void> => {
    const state = await stateOf(build).catch(() => undefined); // the next move tells
    const entry = watched.get(build);
    if (!entry || !state) return;
    if ((state.kind === 'running' || state.kind === 'cancelling') && state.attempts === entry.attempt) return;
    watched.delete(build);
    entry.ending.abort(new CroftError('conflict', `attempt ${entry.attempt} of build ${build} has ended`));
  };
  return {
    signal(build, attempt) {
      const known = watched.get(build);
      const entry = known?.attempt === attempt ? known : { attempt, ending: new AbortController() };
      watched.set(build, entry);
      void look(build); // it may have ended meanwhile
      return entry.ending.signal;
    },
    moved(build) {
      if (watched.has(build)) void look(build);
    },
  };
}
