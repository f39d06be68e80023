/**
 * Whether a machine can still be counted on: *broken* is a mark for whoever holds it; *dead* is for good, comes once, from three missed
 * heartbeats or from being closed, and ends what is under way. @see buildlet.md 3.2
 */
import { SECOND, type Clock } from '@croft/runtime/clock';
import { CroftError, asCroftError, errorText } from '@croft/runtime/errors';
import { createHeartbeats } from './heartbeats.ts';

export interface LifeOptions {
  readonly clock: Clock;
  /** The machine, for messages. */
  readonly shown: string;
  /** Throws when no answer comes. */
  ask(signal: AbortSignal): Promise<unknown>;
  /** Once. */
  onDead?: ((why: CroftError) => void) | undefined;
}

export interface Life extends AsyncDisposable {
  /** Why it is dead, once it is. */
  readonly death: CroftError | undefined;
  /** Aborted at its death; undefined afterwards, since whoever wants to may still try. */
  readonly signal: AbortSignal | undefined;
  readonly isBroken: boolean;
  markBroken(): void;
  /** The heartbeats, once. */
  begin(): void;
  onClose(act: () => void): void;
  /** Once: halts the machine, whether it answers or not, and ends this life. */
  close(halt: () => Promise<unknown>): Promise<void>;
}

export function createLife({ clock, shown, ask, onDead }: LifeOptions): Life {
  const living = new AbortController();
  const closing: (() => void)[] = [];
  let death: CroftError | undefined;
  let isBroken = false;
  let closed: Promise<void> | undefined;
  const end = (why: CroftError): void => {
    if (death) return;
    death = why;
    isBroken = true;
    living.abort(why);
    onDead?.(why);
  };
  const heartbeats = createHeartbeats(clock, ask, (silentMs, error) => {
    const text = `Buildlet ${shown} failed heartbeat after ${silentMs / SECOND}s; marking dead; err=${errorText(error)}`;
    end(new CroftError('unavailable', text, { cause: error }));
  });
  const close = async (halt: () => Promise<unknown>): Promise<void> => {
    let why = new CroftError('stopped', 'buildlet: Client closed');
    await halt().catch((error: unknown) => (why = asCroftError(error, 'unavailable', 'halt the machine')));
    try {
      for (const act of closing.toReversed()) act();
    } finally {
      end(why);
    }
  };
  return {
    get death() {
      return death;
    },
    get signal() {
      return death ? undefined : living.signal;
    },
    get isBroken() {
      return isBroken;
    },
    markBroken: () => void (isBroken = true),
    begin: () => heartbeats.begin(),
    onClose: (act) => void closing.push(act),
    close: (halt) => (closed ??= close(halt)),
    [Symbol.asyncDispose]: () => heartbeats[Symbol.asyncDispose](),
  };
}
