/**
 * One run as its requests see it: what it is now, its output, and how to stop it. `run-command.ts` moves a living one to its
 * end; a run that is loaded from disk has ended already.
 */
import type { Run, RunSpec, TerminalSize } from '@croft/protocol/runs';
import type { SegmentLog } from '@croft/streams/segment-log';
import type { RunInput } from './input.ts';
import type { End } from './records.ts';

export type Exit = End['exit'];

/** Why the buildlet ends a command that did not end by itself. */
export type KillCause = Extract<Exit, { kind: 'over-limit' | 'killed' | 'lost' }>;

/** What only a living command can do. */
export interface Controls {
  /** Kills the whole tree; the first cause counts. Repeating is harmless. */
  kill(cause: KillCause): void;
  /** False when the command has ended. */
  signal(name: NodeJS.Signals): boolean;
  /** False when it has no terminal. */
  resize(size: TerminalSize): boolean;
  /** Undefined when it reads nothing. */
  readonly input: RunInput | undefined;
  /** Bytes below the new mark may be dropped: the spool has room again. */
  acknowledged(): void;
}

export interface ManagedRun {
  readonly id: string;
  readonly spec: RunSpec;
  readonly spool: SegmentLog;
  /** Output below this is stored elsewhere. */
  readonly acked: number;
  readonly hasEnded: boolean;
  /** Resolves when the end is on disk. */
  readonly ended: Promise<void>;
  readonly controls: Controls;
  view(): Run;
  ack(to: number): Promise<void>;
  /** Moves to `ended`; called once, by its owner. */
  end(end: End): void;
}

export interface RunParts {
  readonly id: string;
  readonly spec: RunSpec;
  readonly startedAt: number;
  readonly spool: SegmentLog;
}

const noControls: Controls = { kill() {}, signal: () => false, resize: () => false, input: undefined, acknowledged() {} };

export function createRun(parts: RunParts, controls: Controls = noControls): ManagedRun {
  const { id, spec, startedAt, spool } = parts;
  const ended = Promise.withResolvers<void>();
  let end: End | undefined;
  let acked = spool.from;
  return {
    id,
    spec,
    spool,
    controls,
    ended: ended.promise,
    get acked() {
      return acked;
    },
    get hasEnded() {
      return end !== undefined;
    },
    view() {
      const output = { length: spool.length, from: spool.from };
      return end ? { id, state: 'ended', startedAt, output, ...end } : { id, state: 'running', startedAt, output };
    },
    async ack(to) {
      acked = Math.max(acked, Math.min(to, spool.length));
      await spool.dropBefore(acked);
      controls.acknowledged();
    },
    end(how) {
      end = how;
      spool.finish();
      ended.resolve();
    },
  };
}
