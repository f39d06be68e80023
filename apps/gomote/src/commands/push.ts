/** `gomote push`: a directory to machines, only what they lack. */
import type { Command } from 'commander';
import { CroftError } from '@croft/runtime/errors';
import type { Cli, Run } from '@croft/cli/program';
import { onEach } from '../each-machine.ts';
import { chooseInstances } from '../instances.ts';
import { patiently } from '../patience.ts';
import { pushTree } from '../push/push.ts';
import { findSource } from '../push/source.ts';
import { openWorld, type GomoteOptions } from '../world.ts';

interface PushOptions extends GomoteOptions {
  readonly dryRun?: boolean;
  readonly ignore: readonly string[];
}

export function addPush(program: Command, cli: Cli, run: Run): void {
  program
    .command('push [words...]')
    .usage('[options] [instance] [dir] [destination]')
    .option('--dry-run', 'change nothing, and say what would be done')
    .option('--ignore <pattern>', 'leave out what matches, here and there; may be given several times', gather, [])
    .addHelpText('after', help)
    .action((words: string[], _, command: Command) => run(() => push(words, command.optsWithGlobals(), cli)));
}

const help = `
  gomote push ann-linux-0                 # this repository, to a directory of its name
  gomote push ann-linux-0 . src           # this directory, to src
  gomote push -ignore '*.mp4' ann-linux-0
  GOROOT=~/go gomote push ann-linux-0     # Go's tree, to go

What git ignores, .git, files of editors and what -ignore matches is neither sent nor deleted there; what else is there and not here is deleted.
Links, executable and read-only files and empty directories arrive as they are.`;

function gather(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

async function push(words: readonly string[], { dryRun = false, ignore, ...given }: PushOptions, cli: Cli): Promise<void> {
  const world = await openWorld(given, cli);
  const chosen = await chooseInstances(words, world);
  const [dir, dest, ...more] = chosen.rest;
  if (more.length > 0)
    throw new CroftError('invalid', `too many words: ${more.join(' ')}`, { hint: 'gomote push INSTANCE DIR DESTINATION' });
  const source = await findSource(dir, dest, cli);
  const pushed = await onEach(chosen, world, async (machine, signal) => ({
    instance: machine.session.alias,
    // From the list on: what had arrived is not sent again.
    ...(await patiently(cli, () => pushTree(machine, source, { ignore, dryRun, signal }, cli), { signal })),
  }));
  if (world.json) await cli.stdout.write(`${JSON.stringify({ dryRun, source: source.root, pushed })}\n`);
}
