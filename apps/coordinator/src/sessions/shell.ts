/**
 * A run that somebody is attached to, over whatever hops lie between: what it writes from an offset on, what is typed, its size and its
 * end. Letting go leaves it running; hanging up ends it.
 */
import type { Exit } from '@croft/domain/outcome';
import type { Run, TerminalSize } from '@croft/protocol/runs';
import { anySignal, SECOND, type Waits } from '@croft/runtime/clock';
import { followOutput, type TakePiece } from './runs/follow-output.ts';
import type { RunInput } from './runs/run-input.ts';
import { endOfRun, keepAsking, type RunPlace } from './runs/run-place.ts';

export interface Shell extends AsyncDisposable {
  /** Of its run, without the session's id: `sh-…`, `r-…`. */
  readonly name: string;
  /** It has just been started. */
  readonly isFresh: boolean;
  /** The bytes of its output that there were when it was attached to. */
  readonly output: Run['output'];
  /** @see followOutput */
  follow(from: number, take: TakePiece, waits: Waits): Promise<void>;
  /** What is typed. Resolves when it was taken, to how much was in all. @throws CroftError `conflict` when it has ended or takes none */
  write(bytes: Uint8Array): Promise<number>;
  /** As `RunInput.give`; resolves when there is room for more, where there is none. */
  type(bytes: Uint8Array): Promise<void> | undefined;
  resize(size: TerminalSize, waits: Waits): Promise<void>;
  /** How it ended. Waits for that. */
  exit(waits: Waits): Promise<Exit>;
  /** What closing a terminal does: SIGHUP, and after two seconds the end of whatever did not heed it. */
  hangUp(waits: Waits): Promise<void>;
}

export interface Attached {
  readonly place: RunPlace;
  readonly name: string;
  readonly isFresh: boolean;
  readonly output: Run['output'];
  readonly input: RunInput;
  /** Of its output, what stays for those who come later. */
  readonly keptBytes: number;
  /** Aborted when its session ends or its machine is lost. */
  readonly ended: AbortSignal;
  /** Called once; `seen`: its end has come and was seen whole. */
  letGo(seen: boolean): Promise<void>;
}

const heedMs = SECOND;

export function createShell({ place, name, isFresh, output, input, keptBytes, ended, letGo }: Attached): Shell {
  const { buildlet, id, epoch } = place;
  const within = ({ signal }: Waits): Waits => ({ signal: anySignal(signal, ended) });
  let seen = false;
  let held = true;
  let resizing: Promise<void> | undefined; // what is typed after it comes after it
  return {
    name,
    isFresh,
    output,
    async follow(from, take, waits) {
      await followOutput(place, { from, keptBytes }, take, within(waits));
      seen = true;
    },
    async write(bytes) {
      await resizing;
      return input.write(bytes);
    },
    type(bytes) {
      if (resizing) return resizing.then(() => this.type(bytes));
      input.give(bytes);
      return input.room();
    },
    async resize(size, waits) {
      const done = keepAsking(() => buildlet.resize(id, size, epoch, within(waits)), place, within(waits));
      const over = done
        .catch(() => undefined)
        .then(() => {
          if (resizing === over) resizing = undefined;
        });
      resizing = over;
      return done;
    },
    async exit(waits) {
      const run = await endOfRun(place, within(waits));
      return run?.exit ?? { kind: 'lost', reason: 'its machine does not know it any more' };
    },
    async hangUp(waits) {
      // The first may reach a command in the foreground and not the shell that waits for it.
      for (let tries = 0; tries < 2; tries += 1) {
        await buildlet.signal(id, 'SIGHUP', epoch, waits);
        const now = await buildlet.run(id, { ...waits, waitMs: heedMs });
        if (now === 'unknown' || now === 'collected' || now.state === 'ended') return;
      }
      await buildlet.cancel(id, 'its terminal was closed', epoch, waits);
    },
    async [Symbol.asyncDispose]() {
      if (!held) return;
      held = false;
      await letGo(seen);
    },
  };
}
