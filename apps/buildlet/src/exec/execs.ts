/**
 * Commands of `/exec`: they belong to their request. Whoever asked reads their output as it comes; when the reader is gone, or may not
 * write any more, the whole tree is killed. Nothing of them is kept.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '@croft/runtime/clock';
import { CroftError, systemCode } from '@croft/runtime/errors';
import type { Random } from '@croft/runtime/random';
import { checkMachine, type Command } from '../commands/command.ts';
import { cookieVariable } from '../commands/environment.ts';
import { startCommand, type LiveCommand, type LiveDeps } from '../commands/live-command.ts';
import { pumpPipe } from '../commands/pump.ts';
import { messages } from '../events.ts';
import { directoryFailure, processState, startFailure } from './process-state.ts';

/** What is held of the output of one command while its reader is slow. */
const heldBytes = 64 * 1024;
const keptRings = 16;

export interface ExecDeps extends LiveDeps {
  readonly clock: Clock;
  readonly random: Random;
  /** The beginning of the names of this buildlet's trees. */
  readonly treeNames: string;
}

export interface Asked {
  readonly command: Command;
  /** Takes a piece of the output; its bytes are only its own until it resolves. Throws when nobody reads any more. */
  write(piece: Buffer): Promise<void>;
  readonly signal: AbortSignal;
}

export interface Execs {
  /**
   * Runs it and tells how it ended, in Go's words, when its tree is dead and all of its output was taken.
   * @throws the signal's reason, or what `write` threw, when the tree is dead; CroftError `unavailable` when the machine could not start it
   */
  run(asked: Asked): Promise<string>;
  /** Kills what runs, without an end for whoever reads it, and lets nothing start any more. */
  endAll(reason: string): Promise<void>;
}

export function createExecs(deps: ExecDeps): Execs {
  const { treeNames, trees, clock, log } = deps;
  const running = new Set<Running>();
  const cookies = deps.random.hex(16);
  const rings: Buffer[] = [];
  let ending: CroftError | undefined;
  let started = 0;

  const runOne = async ({ command: asked, write, signal }: Asked, me: Running): Promise<string> => {
    if (ending) throw ending;
    const name = `${treeNames}+exec-${(started += 1)}`; // a plus sign is in no run's id
    const mark = trees.lend(name, `${cookies}:${name}`);
    const command = { ...asked, env: { ...asked.env, [cookieVariable]: mark.cookie } };
    const beganAt = clock.monotonic();
    const leave = async (): Promise<unknown> => trees.fell(mark, undefined); // its place is taken for the attempt
    const start = await startCommand(command, mark, deps, { signal }).catch(async (error: unknown) => {
      await leave();
      throw error;
    });
    if (start.kind === 'failed') {
      await leave();
      checkMachine(command, start);
      return (await missingDirectory(command.cwd)) ?? startFailure(command.argv[0], start.code);
    }
    me.kill = start.command.kill;
    if (ending) me.kill();
    const ring = rings.pop() ?? Buffer.allocUnsafeSlow(heldBytes);
    const state = await follow(start.command, { write, signal, clock, ring });
    if (ending) throw ending;
    if (rings.length < keptRings) rings.push(ring);
    log.debug(messages.execEnded, { program: command.argv[0], state, elapsedMs: Math.round(clock.monotonic() - beganAt) });
    return state;
  };

  return {
    async run(asked) {
      const me: Running = { done: Promise.resolve() };
      const done = runOne(asked, me).finally(() => running.delete(me));
      running.add(Object.assign(me, { done }));
      return done;
    },
    async endAll(reason) {
      ending = new CroftError('unavailable', `run a command: ${reason}`);
      for (const { kill } of running) kill?.();
      await Promise.allSettled([...running].map(({ done }) => done));
    },
  };
}

interface Running {
  /** Once it was started. */
  kill?: () => unknown;
  done: Promise<unknown>;
}

interface Following extends Pick<Asked, 'write' | 'signal'> {
  readonly clock: Clock;
  readonly ring: Buffer;
}

async function follow(command: LiveCommand, { write, signal, clock, ring }: Following): Promise<string> {
  const kill = (): void => void command.kill();
  const pump = pumpPipe(command.source, write, ring);
  pump.done.then(command.look, kill); // else nobody reads
  signal.addEventListener('abort', kill);
  if (signal.aborted) kill();
  try {
    const exited = await command.ended;
    await pump.finish(clock);
    signal.throwIfAborted();
    return processState(exited);
  } finally {
    signal.removeEventListener('abort', kill);
  }
}

/** A program that is there cannot start in a directory that is not. */
async function missingDirectory(dir: string): Promise<string | undefined> {
  return stat(join(dir, '.')).then(
    () => undefined,
    (error: unknown) => (systemCode(error) === 'ENOTDIR' ? undefined : directoryFailure(dir, systemCode(error) ?? 'EINVAL')),
  );
}
