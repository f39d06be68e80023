/**
 * Starts the command of a run and brings it to its one end: exit or kill, the tree dead, the pipe drained, the spool on disk,
 * the end on disk, and only then told. What a kill -9 in between leaves is told by `recover.ts`.
 */
import { mkdir } from 'node:fs/promises';
import type { RunSpec } from '@croft/protocol/runs';
import { anySignal, type Clock } from '@croft/runtime/clock';
import { errorText, isCode } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import type { TaskGroup } from '@croft/runtime/tasks';
import { badDirectory, checkMachine, explain, type Command, type Exited, type Launcher, type OutputSource } from '../commands/command.ts';
import { commandEnvironment, commandTempDir } from '../commands/environment.ts';
import { shellCommand } from '../commands/login.ts';
import { startCommand, type LiveCommand } from '../commands/live-command.ts';
import type { Terminals } from '../commands/terminals.ts';
import { messages } from '../events.ts';
import type { Disk } from '../state/disk.ts';
import { markProcess } from '../tree/processes.ts';
import type { Trees } from '../tree/trees.ts';
import { createAllowance, startDrain, type Drain } from './drain.ts';
import { createInput } from './input.ts';
import { openOutputs, spoolsOf, type RunOutput, type RunOutputs } from './outputs.ts';
import type { End, Intent, Records } from './records.ts';
import { watchMachine, type Seen } from './seen.ts';
import { createRun, type Exit, type KillCause, type ManagedRun } from './run.ts';

const longestTimerMs = 2 ** 31 - 1;
const saveRetryMs = 500;
const MiB = 1024 * 1024;

export interface CommandDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly records: Records;
  readonly trees: Trees;
  readonly launcher: Launcher;
  readonly terminals: Terminals;
  readonly disk: Disk;
  /** Owns what goes on while a command runs; aborted when the buildlet ends without waiting any more. */
  readonly tasks: TaskGroup;
  readonly workDir: string;
  readonly spoolLimitBytes: number;
  /** What commands have of the buildlet's environment; its SHELL is the shell of people. */
  readonly passed: Readonly<Record<string, string>>;
}

export interface PlannedRun {
  readonly id: string;
  /** As it is on disk. */
  readonly intent: Intent;
  /** Where it runs, which may turn out not to exist; absolute, and as it was asked for. */
  readonly place: { readonly cwd: string; readonly shown: string };
}

/**
 * Starts the command whose intent is on disk; `signal` is looked at directly before the spawn.
 * A command that cannot be started is a run that has ended `not-started`.
 */
export async function runCommand(planned: PlannedRun, deps: CommandDeps, waits: { signal: AbortSignal }): Promise<ManagedRun> {
  const { id, intent } = planned;
  const { spec, startedAt } = intent;
  const outputs = await openOutputs(deps.records, id, spec);
  const start = await tryStart(planned, deps, waits);
  if (start.kind === 'started') return supervise(planned, { outputs, command: start.command }, deps);
  await deps.trees.fell(intent.tree, undefined); // its place was made for the attempt
  const run = createRun({ id, spec, startedAt, outputs });
  await finish(run, { kind: 'not-started', reason: start.reason }, deps);
  return run;
}

async function tryStart(
  { intent, place }: PlannedRun,
  deps: CommandDeps,
  waits: { signal: AbortSignal },
): Promise<{ kind: 'started'; command: LiveCommand } | { kind: 'not-started'; reason: string }> {
  const { tree } = intent;
  await mkdir(commandTempDir(deps.workDir), { recursive: true });
  const bad = await badDirectory(place.cwd, place.shown);
  if (bad) return { kind: 'not-started', reason: bad };
  const command = commandOf(intent, place.cwd, deps);
  const start = await startCommand(command, tree, deps, waits);
  if (start.kind === 'started') return start;
  checkMachine(command, start);
  return { kind: 'not-started', reason: await explain(command, start.code) };
}

function commandOf({ spec, tree }: Intent, cwd: string, { workDir, passed }: CommandDeps): Command {
  const { argv, input, pty: terminal, stderr, path, login } = spec;
  const asked = { ...(terminal ? { TERM: terminal.term } : {}), ...spec.env };
  return {
    argv: login ? shellCommand(passed['SHELL'], argv) : (argv as [string, ...string[]]),
    cwd,
    env: commandEnvironment(passed, asked, { workDir, cwd, cookie: tree.cookie, path }),
    input,
    terminal,
    ownStderr: stderr === 'own',
  };
}

interface Started {
  readonly outputs: RunOutputs;
  readonly command: LiveCommand;
}

/** Watches over a living command. The run is returned at once; its end comes later. */
function supervise({ id, intent }: PlannedRun, { outputs, command }: Started, deps: CommandDeps): ManagedRun {
  const { spec, startedAt } = intent;
  const { tasks } = deps;
  const seen = watchMachine();
  let cause: KillCause | undefined;
  const kill = (why: KillCause): void => {
    if (!cause && command.kill()) cause = why;
  };
  const exceed = (): void => {
    kill(overOutput(spec.outputLimitBytes));
    cause = overOutput(spec.outputLimitBytes); // also when the command had ended and only the pipe told
  };
  const input = spec.pty || spec.input ? createInput(command.input, { isTerminal: spec.pty !== undefined }) : undefined;
  const { signal, resize } = command;
  const run = createRun({ id, spec, startedAt, outputs }, { kill, signal, resize, input });
  const drains = startDrains({ outputs, command }, spec, { ...deps, exceed });

  const timer = new AbortController();
  tasks.start('limit the time of a run', async (waits) => {
    await sleepLong(deps.clock, spec.limitMs, anySignal(waits.signal, timer.signal)).catch(() => {});
    if (!timer.signal.aborted) kill({ kind: 'over-limit', limit: 'time', reason: `it ran longer than ${spec.limitMs} ms` });
  });
  for (const drain of drains) drain.done.catch((error: unknown) => kill(unstorable(error)));
  tasks.start('bring a run to its end', async () => {
    const mark = markProcess(command.pid);
    if (mark) await deps.records.saveProcess(id, mark).catch(() => {}); // only evidence: the tree is known from the intent
    const status = await command.ended.finally(() => timer.abort());
    input?.close();
    try {
      await Promise.all(drains.map((drain) => drain.finish()));
    } catch (error) {
      if (tasks.signal.aborted) throw error; // no end is written: the next buildlet tells that it was lost
      cause = unstorable(error);
    }
    await finish(run, cause ?? exitOf(status), deps, await besideEnd(status, seen(), deps));
  });
  return run;
}

/** One for each output; what they store counts together. */
function startDrains({ outputs, command }: Started, spec: RunSpec, deps: CommandDeps & { exceed(): void }): Drain[] {
  const { spoolLimitBytes, exceed, disk, clock, tasks } = deps;
  const common = {
    allowance: createAllowance(spec.outputLimitBytes),
    spoolLimitBytes,
    onOverLimit: exceed,
    disk,
    clock,
    signal: tasks.signal,
  };
  const drain = (source: OutputSource, output: RunOutput): Drain => startDrain({ ...common, source, output });
  const { output, stderr } = outputs;
  const errors = stderr && command.errors !== undefined ? [drain(command.errors, stderr)] : [];
  return [drain(command.source, output), ...errors];
}

type Beside = Pick<End, 'usage' | 'evidence'>;

async function finish(run: ManagedRun, exit: Exit, deps: CommandDeps, beside: Beside = {}): Promise<void> {
  const { clock, records, tasks, log } = deps;
  const end = { endedAt: clock.now(), exit, ...beside };
  for (;;) {
    try {
      await Promise.all(spoolsOf(run).map((spool) => spool.sync()));
      await records.saveEnd(run.id, end);
      break;
    } catch (error) {
      if (!isCode(error, 'exhausted')) throw error;
      await clock.sleep(saveRetryMs, { signal: tasks.signal });
    }
  }
  run.end(end);
  log.info(messages.runEnded, { run: run.id, exit, outputBytes: run.output.spool.length });
}

/** Disk space is looked at now: that it was full is what made a command fail that could not write. */
async function besideEnd({ usage }: Exited, { oomKills, evidence }: Seen, { disk }: CommandDeps): Promise<Beside> {
  const { low, freeBytes } = await disk.check();
  const all = [...evidence, ...(low ? [`the disk of its machine was almost full: ${Math.floor(freeBytes / MiB)} MiB were free`] : [])];
  return { ...(usage ? { usage: { ...usage, oomKills } } : {}), ...(all.length > 0 ? { evidence: all } : {}) };
}

function exitOf({ code, signal }: Exited): Exit {
  return signal !== null ? { kind: 'signalled', signal } : { kind: 'exited', code: code ?? -1 };
}

function overOutput(limit: number): KillCause {
  return { kind: 'over-limit', limit: 'output', reason: `it wrote more than ${limit} bytes` };
}

function unstorable(error: unknown): KillCause {
  return { kind: 'lost', reason: `its output could not be stored: ${errorText(error)}` };
}

async function sleepLong(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  for (let left = ms; left > 0; left -= longestTimerMs) await clock.sleep(Math.min(left, longestTimerMs), { signal });
}
