/**
 * One run as its requests see it: what it is now, its output, and how to stop it. `run-command.ts` moves a living one to its
 * end; a run that is loaded from disk has ended already.
 */
import type { Run, RunSpec, TerminalSize } from '@croft/protocol/runs';
import type { RunInput } from './input.ts';
import { spoolsOf, type RunOutput, type RunOutputs } from './outputs.ts';
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
}

/** Disposal closes its spools. */
export interface ManagedRun extends RunOutputs, AsyncDisposable {
  readonly id: string;
  readonly spec: RunSpec;
  readonly hasEnded: boolean;
  /** Resolves when the end is on disk. */
  readonly ended: Promise<void>;
  readonly controls: Controls;
  view(): Run;
  /** Moves to `ended`; called once, by its owner. */
  end(end: End): void;
}

export interface RunParts {
  readonly id: string;
  readonly spec: RunSpec;
  readonly startedAt: number;
  readonly outputs: RunOutputs;
}

const noControls: Controls = { kill() {}, signal: () => false, resize: () => false, input: undefined };

export function createRun(parts: RunParts, controls: Controls = noControls): ManagedRun {
  const { id, spec, startedAt, outputs } = parts;
  const ended = Promise.withResolvers<void>();
  let end: End | undefined;
  return {
    id,
    spec,
    ...outputs,
    controls,
    ended: ended.promise,
    get hasEnded() {
      return end !== undefined;
    },
    view() {
      const { output, stderr } = outputs;
      const seen = { id, startedAt, output: extentOf(output), ...(stderr ? { stderr: extentOf(stderr) } : {}) };
      return end ? { ...seen, state: 'ended', ...end } : { ...seen, state: 'running' };
    },
    end(how) {
      end = how;
      for (const spool of spoolsOf(outputs)) spool.finish();
      ended.resolve();
    },
    [Symbol.asyncDispose]: async () => void (await Promise.all(spoolsOf(outputs).map((spool) => spool[Symbol.asyncDispose]()))),
  };
}

function extentOf({ spool }: RunOutput): Run['output'] {
  return { length: spool.length, from: spool.from };
}
