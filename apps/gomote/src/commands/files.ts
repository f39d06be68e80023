/** `gomote ls`, `rm`, `gettar`: what lies on a machine. */
import { join } from 'node:path';
import type { Command } from 'commander';
import { CroftError } from '@croft/runtime/errors';
import type { Cli, Run } from '@croft/cli/program';
import { printable } from '@croft/cli/terminal';
import { onEach } from '../each-machine.ts';
import { fetchTree, treeOf, unlessThere } from '../fetch-tree.ts';
import { chooseInstances } from '../instances.ts';
import { openWorld, type GomoteOptions } from '../world.ts';

interface LsOptions extends GomoteOptions {
  readonly R?: boolean;
  readonly d?: boolean;
  readonly skip?: string;
}

interface GettarOptions extends GomoteOptions {
  readonly dir: string;
  readonly output?: string;
}

export function addFiles(program: Command, cli: Cli, run: Run): void {
  program
    .command('ls [words...]')
    .usage('[options] [instance] [dir]')
    .option('-R', 'and all below it')
    .option('-d', 'with the SHA-1 of files')
    .option('--skip <dirs>', 'directories below it that are left out, with commas between')
    .addHelpText('after', '\n  gomote ls -R -skip node_modules ann-linux-0 app')
    .action((words: string[], _, command: Command) => run(() => ls(words, command.optsWithGlobals(), cli)));
  program
    .command('rm <words...>')
    .usage('[instance] <path...>')
    .action((words: string[], _, command: Command) => run(() => remove(words, command.optsWithGlobals(), cli)));
  program
    .command('gettar [instance]')
    .option('--dir <dir>', 'this one; the whole work directory by default', '.')
    .option('--output <file>', 'into this file; of a group into INSTANCE.tar.gz each')
    .addHelpText('after', '\n  gomote gettar -dir app/dist ann-linux-0 | tar xz\n\nA file stands under its name when it is whole.')
    .action((name: string | undefined, _, command: Command) => run(() => gettar(name, command.optsWithGlobals(), cli)));
}

async function ls(
  words: readonly string[],
  { R: recursive = false, d: digest = false, skip, ...given }: LsOptions,
  cli: Cli,
): Promise<void> {
  const world = await openWorld(given, cli);
  const { sessions, rest, asGroup } = await chooseInstances(words, world);
  if (rest.length > 1)
    throw new CroftError('invalid', 'one directory at a time', { hint: 'Options come first: gomote ls -R INSTANCE DIR' });
  const options = { recursive, digest, skip: skip?.split(',').filter((dir) => dir !== '') };
  const [dir = '.'] = rest;
  const listed: unknown[] = [];
  for (const session of sessions) {
    await using machine = world.machine(session);
    if (asGroup && !world.json) await cli.stdout.write(`# ${session.alias}\n`);
    try {
      for await (const { line, ...entry } of machine.files.listDir(dir, options, {})) {
        if (world.json) listed.push(asGroup ? { instance: session.alias, ...entry } : entry);
        else await cli.stdout.write(`${line.split('\t').map(printable).join('\t')}\n`);
      }
    } catch (error) {
      throw unlessThere(error, dir, session.alias);
    }
  }
  if (world.json) await cli.stdout.write(`${JSON.stringify({ entries: listed })}\n`);
}

async function remove(words: readonly string[], given: GomoteOptions, cli: Cli): Promise<void> {
  const world = await openWorld(given, cli);
  const chosen = await chooseInstances(words, world);
  if (chosen.rest.length === 0) throw new CroftError('invalid', 'name what is to be removed', { hint: 'gomote rm INSTANCE PATH' });
  await onEach(chosen, world, ({ files }, signal) => files.removeAll(chosen.rest, { signal }));
  if (world.json) await cli.stdout.write(`${JSON.stringify({ removed: chosen.rest })}\n`);
}

async function gettar(name: string | undefined, { dir, output, ...given }: GettarOptions, cli: Cli): Promise<void> {
  const world = await openWorld(given, cli);
  const chosen = await chooseInstances(name === undefined ? [] : [name], world);
  if (chosen.asGroup || output !== undefined) {
    if (chosen.asGroup && output !== undefined) throw new CroftError('invalid', '-output is for one instance');
    const fetched = await onEach(chosen, world, async (machine, signal) => {
      const path = join(cli.cwd, output ?? `${machine.session.alias}.tar.gz`);
      return { instance: machine.session.alias, path, bytes: await fetchTree(machine, { dir, path, signal }, cli) };
    });
    return cli.stdout.write(world.json ? `${JSON.stringify({ files: fetched })}\n` : fetched.map(({ path }) => `${path}\n`).join(''));
  }
  if (cli.stdout.isTerminal)
    throw new CroftError('invalid', 'an archive is not for a terminal', { hint: 'Redirect it, or give -output FILE.' });
  if (world.json) throw new CroftError('invalid', 'with --json the archive needs a file', { hint: '-output FILE' });
  await onEach(chosen, world, async (machine, signal) => {
    for await (const piece of treeOf(machine, dir, signal)) await cli.stdout.write(piece);
  });
}
