/** `gomote attach`: the output of a command that runs, or has run, on a machine, from its first byte to its end. */
import type { Command } from 'commander';
import { CroftError } from '@croft/runtime/errors';
import type { Run as MachineRun } from '@croft/protocol/runs';
import type { Cli, Run } from '@croft/cli/program';
import { printable } from '@croft/cli/terminal';
import { endSentence, statusOf } from '../follow-run.ts';
import { chooseOne } from '../instances.ts';
import { ownFailure } from '../own-failure.ts';
import { patiently } from '../patience.ts';
import { completeCommand, runIdOf, shownRun } from '../run-on-machine.ts';
import { openWorld, type GomoteOptions, type Machine } from '../world.ts';

export function addAttach(program: Command, cli: Cli, run: Run): void {
  program
    .command('attach [words...]')
    .usage('[instance] [run]')
    .addHelpText('after', help)
    .action((words: string[], _, command: Command) => run(() => attach(words, command.optsWithGlobals(), cli), ownFailure));
}

const help = `
  gomote attach ann-linux-0 r-1a2b3c4d5e6f
  gomote attach ann-linux-0                 # the only one there is

What it wrote is kept until the session ends, so it can be attached to again. Ctrl-C is handed on as with gomote run.`;

async function attach(words: readonly string[], given: GomoteOptions, cli: Cli): Promise<number> {
  const world = await openWorld(given, cli);
  const { session, rest } = await chooseOne(splitName(words), world);
  await using machine = world.machine(session);
  const run = await findRun(machine, rest[0], cli);
  const out = world.json ? cli.stderr : cli.stdout;
  const sinks = { stdout: (bytes: Uint8Array) => out.write(bytes), stderr: (bytes: Uint8Array) => cli.stderr.write(bytes) };
  const ended = await completeCommand(machine, run, { sinks, cli, keep: true });
  const sentence = endSentence(ended);
  if (sentence !== undefined) await cli.stderr.write(`# ${session.alias}: ${printable(sentence)}\n`);
  const status = statusOf(ended);
  if (world.json)
    await cli.stdout.write(`${JSON.stringify({ instance: session.alias, run: shownRun(machine, run), status, exit: ended.exit })}\n`);
  return status;
}

/** The SSH door writes both as one. */
function splitName([first = '', ...others]: readonly string[]): string[] {
  const at = first.indexOf('+');
  return at === -1 ? [first, ...others].filter((word) => word !== '') : [first.slice(0, at), first.slice(at + 1), ...others];
}

async function findRun(machine: Machine, name: string | undefined, cli: Cli): Promise<MachineRun> {
  const { buildlet, session } = machine;
  if (name !== undefined) {
    const found = await patiently(cli, () => buildlet.run(runIdOf(machine, name), {}));
    if (typeof found === 'object') return found;
    throw new CroftError('not-found', `there is no run ${name} on ${session.alias}`);
  }
  const runs = await patiently(cli, () => buildlet.runs({}));
  const running = runs.filter(({ state }) => state === 'running');
  const [only, ...more] = running.length > 0 ? running : runs;
  if (only && more.length === 0) return only;
  throw new CroftError(only ? 'invalid' : 'not-found', only ? 'name one of its runs' : `nothing runs on ${session.alias}`, {
    hint: runs.map((one) => `${shownRun(machine, one)}  ${one.state}`).join('\n') || undefined,
  });
}
