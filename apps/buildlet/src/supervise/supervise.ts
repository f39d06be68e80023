/**
 * Keeps a buildlet running on a machine, and up to date: fetches versions from the farm, starts one, asks it to end between builds when
 * there is another, and goes back when that one does not do. Without a farm in reach it runs what it has.
 * @see docs/protocols/distribution.md
 */
import { join } from 'node:path';
import type { Manifest } from '@croft/protocol/distribution';
import { anySignal, SECOND, type Clock, type Waits } from '@croft/runtime/clock';
import type { Secret } from '@croft/runtime/config';
import { errorText } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import { backoffMs, type Random } from '@croft/runtime/random';
import { createTaskGroup } from '@croft/runtime/tasks';
import { startChild, type Child } from './child.ts';
import type { Offers } from './offers.ts';
import { advance, kept, wants, type VersionEvent, type Versions } from './versions.ts';
import type { VersionFiles } from './version-files.ts';

export interface SuperviseOptions {
  /** Of the buildlet. */
  readonly args: readonly string[];
  /** Its key, where it was given to the supervisor to hold. */
  readonly key: Secret | undefined;
  /** From one look at the farm's manifest to the next, ms; up to a quarter more or less. */
  readonly lookEveryMs: number;
  /** In which a new version must be ready, while the farm answers, ms. */
  readonly readyWithinMs: number;
  /** For which a new version must live once it is ready, ms. */
  readonly provenAfterMs: number;
}

export interface SuperviseDeps {
  readonly files: VersionFiles;
  readonly offers: Offers;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

const messages = {
  /** `version`, `pid`. */
  started: 'buildlet started',
  /** `version`, `end`, `evidence`; it is started again. */
  ended: 'buildlet ended',
  /** `version` was fetched and is whole; it is started when the running one has ended between builds. */
  fetched: 'new version fetched',
  /** `version` did not do: `why`; `back` runs from now on, or nothing else is there. */
  rolledBack: 'new version taken back',
  /** `version` was ready in time and has lived for a while. */
  proven: 'version proven',
  /** `version`: a file is not what it was. */
  damaged: 'version damaged',
  /** The farm cannot be asked for versions; `error`. */
  noOffer: 'no version offered',
} as const;

/** The buildlet ends its commands when it is stopped; then this is enough. */
const stopWithinMs = 25 * SECOND;
const restartPause = { minMs: 200, maxMs: 30 * SECOND };

/** Until the signal aborts; then its buildlet has ended. */
export async function supervise(options: SuperviseOptions, deps: SuperviseDeps, { signal }: { signal: AbortSignal }): Promise<void> {
  const { files, clock, random, log } = deps;
  const life = await openLife(deps);
  await files.keepOnly(kept(life.versions));
  let failures = 0;
  while (!signal.aborted) {
    try {
      const dir = await wholeVersion(life, deps, { signal });
      if (dir !== undefined) {
        const livedMs = await runOnce(join(dir, 'buildlet.mjs'), { ...options, life }, deps, { signal });
        failures = livedMs >= options.provenAfterMs ? 0 : failures + 1;
      } else failures += 1;
    } catch (error) {
      if (signal.aborted) break;
      log.error(messages.ended, { error: errorText(error) }); // a full disk, perhaps
      failures += 1;
    }
    await clock.sleep(backoffMs(failures, random, restartPause), { signal }).catch(() => {});
  }
}

/** What runs, as it is stored. */
interface Life {
  readonly versions: Versions;
  /** Stored before it holds. */
  move(event: VersionEvent): Promise<void>;
  /** Says in the log why nothing is offered: once for as long as the reason is the same. */
  complain(error: string | undefined): void;
}

async function openLife({ files, log }: SuperviseDeps): Promise<Life> {
  let versions = await files.load();
  let turn = Promise.resolve();
  let complaint: string | undefined;
  const moveNow = async (event: VersionEvent): Promise<void> => {
    const next = advance(versions, event);
    if (next === versions) return;
    await files.save(next);
    versions = next;
  };
  return {
    get versions() {
      return versions;
    },
    move(event) {
      const moved = turn.then(() => moveNow(event));
      turn = moved.catch(() => {});
      return moved;
    },
    complain(error) {
      if (error !== undefined && error !== complaint) log.warn(messages.noOffer, { error });
      complaint = error;
    },
  };
}

/** The directory of what shall run; undefined when there is nothing, and nothing could be fetched. */
async function wholeVersion(life: Life, deps: SuperviseDeps, waits: Waits): Promise<string | undefined> {
  while (life.versions.kind !== 'none') {
    const { current } = life.versions;
    const dir = await deps.files.whole(current);
    if (dir !== undefined) return dir;
    deps.log.error(messages.damaged, { version: current });
    await life.move({ kind: 'damaged' });
  }
  const version = await fetchOffered(life, deps, waits);
  if (version === undefined) return undefined;
  await life.move({ kind: 'switched', version });
  return deps.files.whole(version);
}

/** The version that was fetched and is worth running; undefined when there is none. */
async function fetchOffered(life: Life, { files, offers, log }: SuperviseDeps, waits: Waits): Promise<string | undefined> {
  let manifest: Manifest;
  try {
    manifest = await offers.manifest(waits);
    if (!wants(life.versions, manifest.version)) return undefined;
    await life.move({ kind: 'fetching' });
    await files.keepOnly(kept(life.versions)); // so there are two at most
    await files.add(manifest, (file, path) => offers.file(file, path, waits));
  } catch (error) {
    if (!waits.signal?.aborted) life.complain(errorText(error));
    return undefined;
  }
  life.complain(undefined);
  log.info(messages.fetched, { version: manifest.version });
  return manifest.version;
}

interface RunOptions extends SuperviseOptions {
  readonly life: Life;
}

/** Runs the current version until it has ended, and draws the conclusion. @returns how long it lived, ms */
async function runOnce(program: string, options: RunOptions, deps: SuperviseDeps, { signal }: { signal: AbortSignal }): Promise<number> {
  const { life, args, key } = options;
  const { clock, log } = deps;
  const version = life.versions.kind === 'none' ? '' : life.versions.current;
  const startedAt = clock.monotonic();
  const child = startChild({ program, args, key, clock });
  log.info(messages.started, { version, pid: child.pid });
  let next: string | undefined;
  let late = false;
  {
    await using tasks = createTaskGroup((name, error) => log.error('background task failed', { task: name, error: errorText(error) }));
    const stop = (): void => void child.stop(stopWithinMs);
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    tasks.start('prove', async (waits) => {
      late = !(await proves(child, options, deps, waits));
      if (late) await child.stop(stopWithinMs);
    });
    tasks.start('look', async (waits) => {
      next = await nextVersion(life, options, deps, waits);
      child.drain();
    });
    await child.ended;
    signal.removeEventListener('abort', stop);
  }
  const end = await child.ended;
  const livedMs = clock.monotonic() - startedAt;
  if (signal.aborted) return livedMs;
  log.info(messages.ended, { version, end: end.kind, ...('evidence' in end ? { evidence: end.evidence } : {}) });
  if (next !== undefined) await life.move({ kind: 'switched', version: next });
  else if (late) await judge(life, { kind: 'late' }, `it was not ready within ${options.readyWithinMs} ms`, deps);
  else if (end.kind === 'died') await judge(life, { kind: 'died' }, `it died again and again: ${end.evidence}`, deps);
  return next === undefined ? livedMs : options.provenAfterMs; // an update is no failure
}

/**
 * False when a version on trial was not ready in time. Only time in which the farm answers counts: else nothing could be ready. One that has
 * nothing before it may take as long as it likes.
 */
async function proves(
  child: Child,
  { life, readyWithinMs, provenAfterMs }: RunOptions,
  deps: SuperviseDeps,
  waits: Waits,
): Promise<boolean> {
  if (life.versions.kind !== 'trial') return true;
  const { clock, offers, log } = deps;
  const ready = child.ready.then(() => true);
  for (let left = life.versions.previous === undefined ? Infinity : readyWithinMs; left > 0;) {
    const enough = new AbortController();
    const slice = Math.min(left, readyWithinMs / 4);
    const pause = clock.sleep(slice, { signal: anySignal(waits.signal, enough.signal) }).then(
      () => false,
      () => false,
    );
    const isReady = await Promise.race([ready, pause]);
    enough.abort();
    waits.signal?.throwIfAborted();
    if (isReady) {
      await clock.sleep(provenAfterMs, waits);
      log.info(messages.proven, { version: life.versions.current });
      await life.move({ kind: 'proven' });
      return true;
    }
    const answers = await offers.manifest(waits).then(
      () => true,
      () => false,
    );
    if (answers) left -= slice;
  }
  return false;
}

/** Resolves once another version lies there whole. */
async function nextVersion(life: Life, { lookEveryMs }: RunOptions, deps: SuperviseDeps, waits: Waits): Promise<string> {
  for (;;) {
    await deps.clock.sleep(lookEveryMs * (0.75 + deps.random.fraction() / 2), waits);
    const version = await fetchOffered(life, deps, waits);
    waits.signal?.throwIfAborted();
    if (version !== undefined) return version;
  }
}

async function judge(life: Life, event: VersionEvent, why: string, { log }: SuperviseDeps): Promise<void> {
  const before = life.versions;
  await life.move(event);
  if (before.kind === 'none' || life.versions.kind === 'none' || life.versions.current === before.current) return;
  log.error(messages.rolledBack, { version: before.current, why, back: life.versions.current });
}
