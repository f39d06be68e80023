/**
 * The shells of sessions, the same for every way in. A shell is a run with a terminal under `SESSION.sh-PERSON` and random digits, so it outlives
 * whoever looks at it and this process. Which there are is asked of the machine; memory holds only who is attached. Who lost a
 * connection finds the shell again by entering once more.
 */
import { parseRunId, type RunId } from '@croft/domain/names';
import type { Run, TerminalSize } from '@croft/protocol/runs';
import { DAY, type Clock, type Waits } from '@croft/runtime/clock';
import { sha256Hex } from '@croft/runtime/digest';
import { CroftError } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import type { Random } from '@croft/runtime/random';
import type { Audit } from '../auth/audit.ts';
import { createRunInput, type RunInput } from './runs/run-input.ts';
import type { RunPlace } from './runs/run-place.ts';
import type { Entered, EnteredBuild, Person } from './sessions.ts';
import { createShell, type Shell } from './shell.ts';

export interface ShellWish {
  /** A run of the session by its name, or `new` for a fresh shell. Without it: the person's last shell that nobody is attached to, else a fresh one. */
  readonly run?: string | undefined;
  readonly terminal: TerminalSize & { readonly term: string };
  /** Over the session's own variables. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Who and from where, as the audit trail calls them. */
  readonly by: { readonly who: string; readonly from: string };
}

export interface SessionRun {
  /** Without the session's id. */
  readonly name: string;
  readonly run: Run;
  /** How many are attached to it through this process. */
  readonly attached: number;
}

export interface Shells {
  /** @throws CroftError `not-found` for a run that is not there, `conflict` on one of Go's buildlets */
  open(who: Pick<Person, 'name'>, place: ShellPlace, wish: ShellWish, waits: Waits): Promise<Shell>;
  /** Running ones first, the latest first. */
  runs(place: ShellPlace, waits: Waits): Promise<SessionRun[]>;
}

/** A session's machine, or that of a build. */
export type ShellPlace = Entered | EnteredBuild;

export interface ShellsDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly audit: Pick<Audit, 'asked'>;
  readonly log: Log;
}

/** Of a shell's output, so much can be shown to who comes back. */
const keptOfShell = 1024 * 1024;
/** Of a command's, which is read from its first byte. */
const keptOfCommand = 256 * 1024 * 1024;
const longestMs = 20 * DAY;

export function createShells({ clock, random, audit, log }: ShellsDeps): Shells {
  const attachments = createAttachments();
  return {
    async open(who, place, wish, waits) {
      const { buildlet, epoch, ended, ground } = place;
      if (ground.speaks === 'go') throw noTerminal();
      const prefix = prefixOf(place);
      const mine = `${prefix}${shellsOf(who)}`;
      const there = wish.run === undefined ? await buildlet.runs(waits) : [];
      // Nothing is waited for between choosing and holding, so that two who enter at once never find the same lost shell.
      const found = wish.run === undefined ? lostShell(there, mine, attachments) : named(prefix, wish.run);
      const id = parseRunId(found ?? `${mine}${random.hex(4)}`);
      const name = id.slice(prefix.length);
      const keptBytes = isShell(name) ? keptOfShell : keptOfCommand;
      const isFresh = found === undefined;
      const where: RunPlace = { buildlet, epoch, id, clock, random };
      const input = attachments.hold(where, { signal: ended, isFresh });
      const letGo = async (seen: boolean): Promise<void> => {
        if (!attachments.letGo(id) || !seen || !isShell(name)) return;
        await buildlet
          .collect(id, epoch, { signal: ended })
          .catch((error: unknown) => log.debug('shell not collected', { run: id, error }));
      };
      try {
        const what = isFresh ? 'session.shell' : 'session.attach';
        await audit.asked({ who: wish.by.who, what, target: id.replace(/\.(?=[^.]*$)/, '/'), from: wish.by.from });
        const run = isFresh ? await start(id, place, { ...waits, ...wish }) : await find(id, place, waits);
        const shell = createShell({ place: where, name, isFresh, output: run.output, input, keptBytes, ended, letGo });
        if (!isFresh && isShell(name) && run.state === 'running') await shell.resize(wish.terminal, waits);
        return shell;
      } catch (error) {
        attachments.letGo(id);
        throw error;
      }
    },
    async runs(place, waits) {
      if (place.ground.speaks === 'go') return [];
      const prefix = prefixOf(place);
      const own = (await place.buildlet.runs(waits)).filter(({ id }) => id.startsWith(prefix));
      const rows = own.map((run) => ({ name: run.id.slice(prefix.length), run, attached: attachments.count(run.id) }));
      return rows.toReversed().toSorted((a, b) => Number(a.run.state === 'ended') - Number(b.run.state === 'ended'));
    },
  };
}

function prefixOf(place: ShellPlace): string {
  return 'runs' in place ? place.runs : `${place.session.id}.`;
}

async function start(id: RunId, { ground, buildlet, epoch }: ShellPlace, { terminal, env, signal }: ShellWish & Waits): Promise<Run> {
  const spec = {
    argv: [],
    login: true as const,
    dir: ground.dir,
    elseDir: '.',
    env: { ...ground.env, ...env },
    path: [...ground.path],
    pty: terminal,
    limitMs: longestMs,
    outputLimitBytes: Number.MAX_SAFE_INTEGER,
  };
  return buildlet.startOrAttach(id, spec, epoch, { signal });
}

async function find(id: RunId, { buildlet }: ShellPlace, waits: Waits): Promise<Run> {
  const run = await buildlet.run(id, waits);
  if (run !== 'unknown' && run !== 'collected') return run;
  throw new CroftError('not-found', `there is no run ${id}`, { hint: 'It may have ended. What runs is on the page of its session.' });
}

interface Attachments {
  /** The input that all share who are attached to it. */
  hold(place: RunPlace, waits: Waits & { readonly isFresh: boolean }): RunInput;
  /** True when nobody is attached to it any more. */
  letGo(id: RunId): boolean;
  count(id: string): number;
}

function createAttachments(): Attachments {
  const held = new Map<string, { readonly input: RunInput; count: number }>();
  return {
    hold(place, { signal, isFresh }) {
      const one = held.get(place.id) ?? { input: createRunInput(place, { signal }, { taken: isFresh ? 0 : undefined }), count: 0 };
      one.count += 1;
      held.set(place.id, one);
      return one.input;
    },
    letGo(id) {
      const one = held.get(id);
      if (one) one.count -= 1;
      if (one?.count === 0) {
        one.input.rest();
        held.delete(id);
      }
      return !held.has(id);
    },
    count: (id) => held.get(id)?.count ?? 0,
  };
}

function lostShell(runs: readonly Run[], mine: string, attachments: Attachments): string | undefined {
  return runs.findLast(({ id, state }) => id.startsWith(mine) && state === 'running' && attachments.count(id) === 0)?.id;
}

function named(prefix: string, name: string): string | undefined {
  if (name === 'new') return undefined;
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(name)) return `${prefix}${name}`;
  throw new CroftError('invalid', `${JSON.stringify(name.slice(0, 100))} is not the name of a run`);
}

/** What the names of somebody's shells begin with: names of people hold anything, those of runs do not. */
function shellsOf({ name }: Pick<Person, 'name'>): string {
  return `sh-${sha256Hex(name).slice(0, 8)}`;
}

function isShell(name: string): boolean {
  return name.startsWith('sh-');
}

function noTerminal(): CroftError {
  return new CroftError('conflict', "this machine is one of Go's buildlets, which have no terminals of their own", {
    hint: 'Enter it with ssh.',
  });
}
