/** Looks for new commits: at every poll, and at once when somebody says that there are some. What has not moved costs one listing. */
import type { Repository } from '@croft/config/farm-config';
import { createTurns } from '@croft/forge/turns';
import { MINUTE, type Clock, type Waits } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import type { Random } from '@croft/runtime/random';
import { createBell, type Bell } from '@croft/runtime/tasks';
import { ringOrRest } from '../keep-doing.ts';
import { look, type Looked, type Rules, type Settled, type WorkRecords } from './look.ts';
import type { Sources } from './source.ts';
import { dependentsOf, toolchainsOf } from './toolchains.ts';

export interface FindDeps {
  readonly sources: Sources;
  readonly config: () => Rules;
  readonly records: WorkRecords;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Something has changed there; what it asks to be built, perhaps nothing, is queued. */
  onFound(repo: string, builds: readonly string[]): void;
  /** The repository cannot be read at present; the reason is stored. */
  onUnreadable(repo: string): void;
  /** Another configuration holds than when the look began: what that has queued may not be wanted any more. */
  onOutdated(): void;
}

export interface Finder {
  /**
   * The next look at a repository, which begins as soon as the present one has ended, however many ask for it. An abort ends the
   * waiting and not the look. @throws CroftError when it cannot be read; the error is also kept for the farm page
   */
  find(repo: string, waits: Waits): Promise<string[]>;
  /** Has the next look begin as `find` does, and returns at once. Branches that are said to have moved are looked at first. */
  wake(repo: string, branches: readonly string[]): void;
  /** The configuration has changed: looks at every repository anew, and at no other. */
  reconfigure(): void;
  run(waits: { signal: AbortSignal }): Promise<void>;
}

/** Polls that are under way together; a look that somebody asked for does not wait for them, only for others such. */
const atOnce = 8;
/** After a look that failed, or that found nothing of what it was told, the next is not later than this. */
const soonMs = MINUTE;
/** A poll comes by up to a tenth earlier or later, so that they do not all come together. */
const jitter = 0.1;

export function createFinder(deps: FindDeps): Finder {
  const places = new Map<string, Place>();
  const turns = { polls: createTurns(atOnce), asked: createTurns(atOnce) };
  const changed = createBell();
  const match = (): void => {
    const { repos } = deps.sources;
    for (const repo of repos) {
      const place = places.get(repo.name);
      if (place) place.repo = repo;
      else places.set(repo.name, newPlace(repo));
    }
    for (const [name, { gone }] of places) {
      if (repos.some((repo) => repo.name === name)) continue;
      places.delete(name);
      gone.abort(new CroftError('stopped', `${name} is not configured any more`));
    }
    changed.ring();
  };
  match();
  const ask = (name: string, branches: readonly string[]): Look => {
    const place = places.get(name);
    if (!place) throw new CroftError('not-found', `no repository is called "${name}"`);
    const { next } = place;
    next.asked = true;
    next.everything ||= branches.length === 0;
    for (const branch of branches) next.moved.add(branch);
    place.bell.ring();
    place.hurry?.abort();
    return next;
  };
  const lookSoon = (name: string): void => void (places.has(name) && ask(name, []));
  return {
    find: async (name, { signal }) => await unlessAborted(ask(name, []).result.promise, signal),
    wake: (name, branches) => void ask(name, branches),
    reconfigure() {
      match();
      for (const { bell } of places.values()) bell.ring();
    },
    async run({ signal }) {
      const looking = new Map<Place, Promise<void>>();
      try {
        for (;;) {
          for (const place of places.values()) {
            const waits = { signal: AbortSignal.any([signal, place.gone.signal]) };
            const keep = (): Promise<void> => keepLooking(place, { ...deps, turns, lookSoon }, waits);
            if (!looking.has(place))
              looking.set(
                place,
                keep().catch(() => void looking.delete(place)),
              ); // an abort ended it
          }
          await changed.wait({ signal });
        }
      } finally {
        await Promise.all(looking.values());
      }
    },
  };
}

/** One repository and where its looks stand. */
interface Place {
  repo: Repository;
  readonly bell: Bell;
  /** Aborted when it is not configured any more. */
  readonly gone: AbortController;
  /** The look that has not begun. */
  next: Look;
  /** Aborted when that shall not wait for other polls. */
  hurry: AbortController | undefined;
  readonly settled: Settled;
}

interface Look {
  readonly result: PromiseWithResolvers<string[]>;
  asked: boolean;
  everything: boolean;
  /** Branches that are said to have moved: all that is looked at, unless somebody wants `everything`. */
  readonly moved: Set<string>;
}

function newPlace(repo: Repository): Place {
  const settled = { config: undefined, branches: new Map() };
  return { repo, bell: createBell(), gone: new AbortController(), next: newLook(), hurry: undefined, settled };
}

function newLook(): Look {
  const result = Promise.withResolvers<string[]>();
  result.promise.catch(() => undefined); // perhaps nobody waits for it
  return { result, asked: false, everything: false, moved: new Set() };
}

interface LoopDeps extends FindDeps {
  readonly turns: Readonly<Record<'polls' | 'asked', ReturnType<typeof createTurns>>>;
  /** Wants another look at a repository, if there is one of this name. */
  lookSoon(repo: string): void;
}

async function keepLooking(place: Place, deps: LoopDeps, waits: { signal: AbortSignal }): Promise<void> {
  try {
    for (;;) {
      const complete = await lookOnce(place, deps, waits);
      const restMs = complete ? place.repo.pollMs : Math.min(place.repo.pollMs ?? soonMs, soonMs);
      const spread = 1 + jitter * (2 * deps.random.fraction() - 1);
      await ringOrRest(place.bell, restMs === undefined ? undefined : restMs * spread, { ...waits, clock: deps.clock });
    }
  } finally {
    place.next.result.reject(new CroftError('stopped', 'nobody looks at it any more'));
  }
}

/** Whether there is nothing more to be expected of this look: it could be made, and found what it was told of. */
async function lookOnce(place: Place, deps: LoopDeps, waits: { signal: AbortSignal }): Promise<boolean> {
  const giveBack = await turnOf(place, deps, waits);
  const { result, everything, moved } = place.next;
  place.next = newLook();
  try {
    const found = await lookAt(place, { ...deps, first: everything ? [] : [...moved] }, waits);
    if (found.changed || found.moved.length > 0) {
      deps.onFound(place.repo.name, found.queued);
      for (const dependent of dependentsOf(place.repo.name, deps.config().dependents)) deps.lookSoon(dependent);
    }
    result.resolve(found.queued);
    return found.changed || everything || moved.size === 0;
  } catch (error) {
    result.reject(error);
    waits.signal.throwIfAborted();
    deps.log.warn('repository not read', { repo: place.repo.name, error });
    deps.onUnreadable(place.repo.name);
    return false;
  } finally {
    giveBack();
  }
}

async function lookAt(
  { repo, settled }: Place,
  { sources, records, first, ...deps }: FindDeps & { readonly first: readonly string[] },
  waits: Waits,
): Promise<Looked> {
  const config = deps.config();
  const toolchains = await toolchainsOf(repo.name, { dependents: config.dependents, sources }, waits);
  try {
    return await look({ repo, mirror: () => sources.mirror(repo.name), config, records, settled, toolchains, first }, waits);
  } finally {
    if (deps.config() !== config) deps.onOutdated();
  }
}

async function turnOf(place: Place, { turns }: LoopDeps, { signal }: { signal: AbortSignal }): Promise<() => void> {
  if (place.next.asked) return turns.asked.take({ signal });
  const hurry = (place.hurry = new AbortController());
  try {
    return await turns.polls.take({ signal: AbortSignal.any([signal, hurry.signal]) });
  } catch {
    return await turns.asked.take({ signal });
  } finally {
    place.hurry = undefined;
  }
}

async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(signal?.reason);
  signal?.throwIfAborted();
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
}
