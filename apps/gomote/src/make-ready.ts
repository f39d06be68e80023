/** What `gomote create` does with fresh machines before it ends: a tree pushed, a command run. */
import type { SessionView } from '@croft/protocol/sessions';
import { CroftError } from '@croft/runtime/errors';
import { exitCodes } from '@croft/cli/exit-codes';
import { commandSpec } from './command-spec.ts';
import { endSentence, statusOf } from './follow-run.ts';
import { freshPlace, outputFile, type Place } from './output-file.ts';
import { patiently } from './patience.ts';
import { pushTree } from './push/push.ts';
import { findSource, type PushSource } from './push/source.ts';
import { completeCommand, startCommand } from './run-on-machine.ts';
import type { World } from './world.ts';

export interface Readiness {
  readonly push?: string;
  readonly run?: string;
  readonly setup?: boolean;
}

/** @returns the worst exit status of the commands */
export async function makeReady(sessions: readonly SessionView[], wanted: Readiness, world: World): Promise<number> {
  const { push, run, setup } = wanted;
  if (push === undefined && run === undefined && !setup) return exitCodes.ok;
  if (setup && world.cli.env['GOROOT'] === undefined)
    throw new CroftError('invalid', '-setup pushes the tree that GOROOT names', { hint: 'Set GOROOT, or use -push DIR and -run COMMAND.' });
  const source = push === undefined && !setup ? undefined : await findSource(setup ? undefined : push, undefined, world.cli);
  const logs = sessions.length > 1 ? freshPlace(world.cli) : undefined;
  const statuses = await Promise.all(sessions.map((session) => readyOne(session, { ...wanted, source, logs }, world)));
  return Math.max(exitCodes.ok, ...statuses);
}

interface Making extends Readiness {
  readonly source: PushSource | undefined;
  /** Where output goes when it is that of several. */
  readonly logs: Place | undefined;
}

async function readyOne(session: SessionView, { source, run, setup, logs }: Making, world: World): Promise<number> {
  const { cli } = world;
  await using machine = world.machine(session);
  if (source) await patiently(cli, () => pushTree(machine, source, { ignore: [], dryRun: false }, cli));
  const words = setup
    ? [`go/src/make.${session.builder.includes('windows') ? 'bat' : 'bash'}`]
    : run === undefined
      ? []
      : ['sh', '-c', run];
  if (words.length === 0) return exitCodes.ok;
  await using file = logs && outputFile(logs, `${session.alias}.stdout`, cli);
  const sink = file?.sink ?? ((bytes: Uint8Array) => cli.stderr.write(bytes));
  const started = await startCommand(machine, { ...commandSpec(words, { e: [] }), ...inside(source, setup) }, cli);
  const ended = await completeCommand(machine, started, { sinks: { stdout: sink, stderr: sink }, cli });
  const status = statusOf(ended);
  if (file) await cli.stderr.write(`# ${session.alias}: exit status ${status}, output in ${await file.finish()}\n`);
  else if (status !== 0) await cli.stderr.write(`# ${session.alias}: ${endSentence(ended) ?? `exit status ${status}`}\n`);
  return status;
}

/** A command line that comes with a tree runs in it. */
function inside(source: PushSource | undefined, setup: boolean | undefined): { dir?: string } {
  return source && !setup ? { dir: source.dest } : {};
}
