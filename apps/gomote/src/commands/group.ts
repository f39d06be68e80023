/** `gomote group`: names for several instances at once. A group is a file here; its machines know nothing of it. */
import type { Command } from 'commander';
import { CroftError } from '@croft/runtime/errors';
import type { Cli, Run } from '@croft/cli/program';
import type { Group } from '../groups.ts';
import { mustRead, ping } from '../instances.ts';
import { openWorld, type GomoteOptions, type World } from '../world.ts';

export function addGroup(program: Command, cli: Cli, run: Run): void {
  const group = program.command('group').addHelpText('after', help);
  group
    .command('create <name>')
    .description('make an empty group')
    .action((name: string, _, command: Command) => run(() => create(name, command.optsWithGlobals(), cli)));
  group
    .command('destroy <name>')
    .description('remove a group; its machines stay')
    .action((name: string, _, command: Command) => run(() => destroy(name, command.optsWithGlobals(), cli)));
  group
    .command('add <instance...>')
    .description('add instances to the active group')
    .action((names: string[], _, command: Command) => run(() => add(names, command.optsWithGlobals(), cli)));
  group
    .command('remove <instance...>')
    .description('take instances out of the active group')
    .action((names: string[], _, command: Command) => run(() => remove(names, command.optsWithGlobals(), cli)));
  group
    .command('list')
    .description('list groups with their instances')
    .action((_, command: Command) => run(() => list(command.optsWithGlobals(), cli)));
}

const help = `
  gomote group create three && export GOMOTE_GROUP=three
  gomote create -count 3 linux                 # joins it
  gomote run make test                         # on all three

The active group is that of -group, else of GOMOTE_GROUP. Each use pings its instances, and drops those that have ended.`;

async function create(name: string, given: GomoteOptions, cli: Cli): Promise<void> {
  const { groups, json } = await openWorld(given, cli);
  if (await groups.read(name)) throw new CroftError('conflict', `there is a group ${name} already`);
  const made: Group = { name, instances: [] };
  await groups.write(made);
  if (json) await cli.stdout.write(`${JSON.stringify(made)}\n`);
}

async function destroy(name: string, given: GomoteOptions, cli: Cli): Promise<void> {
  const { groups, group, json } = await openWorld(given, cli);
  const found = await groups.read(name);
  if (!found) throw new CroftError('not-found', `there is no group ${name}`);
  await groups.remove(name);
  if (group?.from === 'environment' && group.name === name) await cli.stderr.write('# GOMOTE_GROUP still names it: unset GOMOTE_GROUP\n');
  if (json) await cli.stdout.write(`${JSON.stringify(found)}\n`);
}

async function add(names: readonly string[], given: GomoteOptions, cli: Cli): Promise<void> {
  const world = await openWorld(given, cli);
  const group = await mustRead(world);
  const ids = await Promise.all(names.map((name) => idOf(name, world)));
  await save({ ...group, instances: [...new Set([...group.instances, ...ids])] }, world);
}

async function idOf(name: string, world: World): Promise<string> {
  const session = await ping(name, world);
  if (session) return session.id;
  throw new CroftError('not-found', `there is no instance ${JSON.stringify(name)}`);
}

/** Also of one that has ended: by whatever name it is known here. */
async function remove(names: readonly string[], given: GomoteOptions, cli: Cli): Promise<void> {
  const world = await openWorld(given, cli);
  const group = await mustRead(world);
  const ids = await Promise.all(names.map((name) => idOf(name, world).catch(() => name)));
  const away = [...names, ...ids];
  const unknown = names.filter((name, index) => !group.instances.includes(name) && !group.instances.includes(ids[index] ?? ''));
  if (unknown.length > 0) throw new CroftError('not-found', `not in group ${group.name}: ${unknown.join(', ')}`);
  await save({ ...group, instances: group.instances.filter((one) => !away.includes(one)) }, world);
}

async function save(group: Group, { groups, json, cli }: World): Promise<void> {
  await groups.write(group);
  if (json) await cli.stdout.write(`${JSON.stringify(group)}\n`);
}

async function list(given: GomoteOptions, cli: Cli): Promise<void> {
  const { groups, client, json } = await openWorld(given, cli);
  const all = await groups.list();
  if (json) return cli.stdout.write(`${JSON.stringify({ groups: all })}\n`);
  const aliasOf = async (name: string): Promise<string> =>
    client.call('session.get', { params: { session: name } }).then(
      ({ alias, state }) => (state === 'ended' ? `${alias} (ended)` : alias),
      () => `${name} (gone)`,
    );
  await cli.stdout.write('Name\tInstances\n');
  for (const { name, instances } of all) {
    const shown = await Promise.all(instances.map(aliasOf));
    await cli.stdout.write(`${name}\t${shown.join(', ') || '(none)'}\n`);
  }
}
