/** The variables that a command would see, as a command of the machine sees them. */
import { CroftError } from '@croft/runtime/errors';
import type { Cli } from '@croft/cli/program';
import type { CommandSpec } from './command-spec.ts';
import { completeCommand, startCommand } from './run-on-machine.ts';
import { endSentence } from './follow-run.ts';
import type { Machine } from './world.ts';

/** @throws CroftError `unavailable` on a machine that has no `env` */
export async function probeEnvironment(machine: Machine, spec: CommandSpec, cli: Cli): Promise<string[]> {
  const parts: Buffer[] = [];
  const run = await startCommand(machine, { ...spec, argv: ['env', '-0'] }, cli);
  const take = async (bytes: Uint8Array): Promise<void> => void parts.push(Buffer.from(bytes));
  const ended = await completeCommand(machine, run, { sinks: { stdout: take, stderr: take }, cli });
  const text = Buffer.concat(parts).toString('utf8');
  if (ended.exit.kind === 'exited' && ended.exit.code === 0) return text.split('\0').filter((entry) => entry !== '');
  throw new CroftError('unavailable', `asking ${machine.session.alias} for its variables: ${endSentence(ended) ?? text}`, {
    hint: 'Give PATH whole, without $PATH in it, and leave out -debug.',
  });
}

export function pathIn(environment: readonly string[]): string {
  return environment.find((entry) => entry.startsWith('PATH='))?.slice('PATH='.length) ?? '';
}
