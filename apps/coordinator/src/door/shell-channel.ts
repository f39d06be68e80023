/** Joins a channel and a shell with a terminal. A shell whose connection was lost goes on, to be found again; a goodbye hangs up. */
import { anySignal, SECOND } from '@croft/runtime/clock';
import type { RunId } from '@croft/domain/names';
import type { TerminalSize } from '@croft/protocol/runs';
import type { Piece } from '../sessions/runs/follow-output.ts';
import type { Shell } from '../sessions/shell.ts';
import type { Shells } from '../sessions/shells.ts';
import { Leaving, type DoorChannel, type Size } from './door-channel.ts';
import { clamped, endOf, type ExecDeps } from './exec-channel.ts';
import { replayed, replayFrom } from './replay.ts';
import type { Visit } from './visit.ts';
import { note, welcome } from './words.ts';

export interface ShellWay {
  /** As `Shells.open` takes it. */
  readonly run?: string | undefined;
  readonly terminal: Size & { readonly term: string };
  readonly env: Readonly<Record<string, string>>;
  readonly from: string;
}

const hangUpMs = 30 * SECOND;

/** Resolves when the channel is closed, or the shell has ended and all of it was told. */
export async function joinShell(channel: DoorChannel, way: ShellWay, visit: Visit, deps: ExecDeps & { shells: Shells }): Promise<void> {
  const { run, terminal, env, from } = way;
  const wish = { run, env, terminal: { ...clamped(terminal), term: terminal.term }, by: { who: visit.person.name, from } };
  await using shell = await deps.shells.open(visit.person, visit.place, wish, { signal: channel.closed });
  await channel.write(welcome(visit, { again: !shell.isFresh, now: deps.clock.now() }));
  const over = new AbortController();
  const signal = anySignal(channel.closed, over.signal);
  followSize(channel, shell, { size: shell.isFresh ? undefined : clamped(terminal), deps, signal });
  deps.tasks.start('type', () => typeInto(channel, shell)); // ends with the channel, which may be later than the shell
  try {
    await showShell(channel, shell, signal);
    const exit = await shell.exit({ signal });
    if ('reason' in exit) await channel.write(note(exit.reason));
    channel.end(endOf(exit));
  } catch (error) {
    const { reason } = channel.closed as { reason: unknown };
    if (!(reason instanceof Leaving)) throw error;
    if (reason.isGoodbye) await hangUp(shell, visit, deps);
  } finally {
    over.abort();
  }
}

/** What a terminal that comes back has missed, or forgotten, and then all that comes. */
async function showShell(channel: DoorChannel, shell: Shell, signal: AbortSignal): Promise<void> {
  const { length } = shell.output;
  const begin = shell.isFresh ? 0 : replayFrom(shell.output);
  const past: Buffer[] = [];
  const tellPast = async (): Promise<void> => {
    if (past.length > 0) await channel.write(replayed(Buffer.concat(past.splice(0)), { isWhole: begin === 0 }));
  };
  const show = ({ from, bytes }: Piece): Promise<void> | undefined => {
    const pastBytes = shell.isFresh ? 0 : Math.min(bytes.length, Math.max(0, length - from));
    if (pastBytes === 0 && past.length === 0) return channel.write(bytes); // the way of every key
    if (pastBytes > 0) past.push(Buffer.from(bytes.subarray(0, pastBytes)));
    if (pastBytes === bytes.length) return undefined; // more of it may come
    return tellPast().then(() => channel.write(bytes.subarray(pastBytes)));
  };
  await shell.follow(begin, show, { signal });
  await tellPast();
}

/** What cannot be told to the shell is dropped: it has ended, and its output tells. */
async function typeInto(channel: DoorChannel, shell: Shell): Promise<void> {
  try {
    await channel.pour((piece) => shell.type(piece));
  } catch {
    // the channel is gone
  }
}

interface Sizes {
  /** Of whoever comes back: a program that fills the screen draws it again. */
  readonly size: TerminalSize | undefined;
  readonly deps: ExecDeps;
  readonly signal: AbortSignal;
}

/** One size after the other, and of those that wait the newest alone. */
function followSize(channel: DoorChannel, shell: Shell, { size, deps, signal }: Sizes): void {
  const wanted: TerminalSize[] = size ? [{ ...size, rows: size.rows > 1 ? size.rows - 1 : 2 }, size] : [];
  let isTelling = false;
  const tellAll = async (): Promise<void> => {
    try {
      for (let next = wanted.shift(); next; next = wanted.shift()) await shell.resize(next, { signal });
    } catch (error) {
      if (!signal.aborted) deps.log.debug('terminal not resized', { run: shell.name, error });
    } finally {
      isTelling = false;
    }
  };
  const begin = (): void => {
    if (isTelling || wanted.length === 0) return;
    isTelling = true;
    deps.tasks.start('resize', tellAll);
  };
  channel.onResize((next) => {
    wanted.splice(0, wanted.length, clamped(next));
    begin();
  });
  begin();
}

/** Unless somebody else looks at it. */
async function hangUp(
  shell: Shell,
  { place, buildlet, epoch, runs }: Visit,
  { shells, clock, log }: ExecDeps & { shells: Shells },
): Promise<void> {
  const signal = clock.deadline(hangUpMs);
  try {
    const others = (await shells.runs(place, { signal })).find(({ name }) => name === shell.name)?.attached ?? 0;
    if (others > 1) return;
    await shell.hangUp({ signal });
    await buildlet.collect(`${runs}${shell.name}` as RunId, epoch, { signal });
  } catch (error) {
    log.warn('shell not hung up', { run: shell.name, error });
  }
}
