/** `gomote create`: asks for machines, waits for them, and may make them ready. */
import type { Command } from 'commander';
import type { SessionView } from '@croft/protocol/sessions';
import { CroftError, asCroftError, errorText, isCode } from '@croft/runtime/errors';
import type { Cli, Run } from '@croft/cli/program';
import { exitCodes } from '@croft/cli/exit-codes';
import { printable } from '@croft/cli/terminal';
import type { Client } from '@croft/web/client';
import { builderNames } from '../builder-names.ts';
import { makeReady, type Readiness } from '../make-ready.ts';
import { followToMachine } from '../wait-for-machine.ts';
import { openWorld, type GomoteOptions, type World } from '../world.ts';

interface CreateOptions extends GomoteOptions, Readiness {
  readonly status: boolean;
  readonly count: string;
  readonly newGroup?: string;
  readonly list?: boolean;
  readonly note: string;
}

export function addCreate(program: Command, cli: Cli, run: Run): void {
  program
    .command('create [builder]')
    .option('--status', 'say on stderr what it waits for (default; -status=false does not)', true)
    .option('--no-status', 'say nothing while waiting')
    .option('--count <n>', 'so many at once', '1')
    .option('--new-group <name>', 'make this group of them')
    .option('--push <dir>', 'then push this directory')
    .option('--run <command>', 'then run this command line of sh there; its output goes to stderr, of several to files')
    .option('--setup', 'push GOROOT and build it there: for Go’s own tree')
    .option('--note <text>', 'what it is for, shown to others', '')
    .option('--list', 'list the builders there are')
    .addHelpText('after', help)
    .action((builder: string | undefined, _, command: Command) => run(() => create(builder, command.optsWithGlobals(), cli)));
}

const help = `
  gomote create linux                               # prints ann-linux-0
  INST=$(gomote create linux) && gomote push $INST && gomote run $INST make test
  gomote create -count 3 -new-group three linux     # then: export GOMOTE_GROUP=three
  gomote create -push . -run 'npm ci' linux
  gomote create -list

A builder may be cut short as long as one begins like that. Ctrl-C takes it out of the queue again. When one of several cannot be had, the others
are kept, and in the group.`;

async function create(given: string | undefined, options: CreateOptions, cli: Cli): Promise<number> {
  const world = await openWorld(options, cli);
  if (options.list) return listBuilders(world);
  if (given === undefined) {
    const names = await builderNames(world.client);
    throw new CroftError('invalid', 'name a builder', { hint: names.join('\n') });
  }
  const count = countOf(options.count);
  const group = await groupFor(options, world);
  const wanted = Array.from({ length: count }, () => createOne(given, options, world));
  const settled = await Promise.allSettled(wanted);
  const made = settled.filter((one) => one.status === 'fulfilled').map(({ value }) => value);
  if (group !== undefined) await addToGroup(group, made, world);
  if (world.json) await cli.stdout.write(`${JSON.stringify({ sessions: made })}\n`);
  else await cli.stdout.write(made.map(({ alias }) => `${alias}\n`).join(''));
  const failures = settled.filter((one) => one.status === 'rejected').map(({ reason }): unknown => reason);
  for (const failure of failures.slice(1)) await cli.stderr.write(`gomote: ${printable(errorText(failure))}\n`);
  if (failures.length > 0) throw asCroftError(failures[0], 'internal', `create ${given}`);
  return makeReady(made, options, world);
}

async function listBuilders({ client, cli, json }: World): Promise<number> {
  const names = await builderNames(client);
  await cli.stdout.write(json ? `${JSON.stringify({ builders: names })}\n` : names.map((name) => `${name}\n`).join(''));
  return exitCodes.ok;
}

async function createOne(builder: string, { status, note }: CreateOptions, { client, cli }: World): Promise<SessionView> {
  return followToMachine(await ask(builder, note, client), { client, cli, status });
}

/** Of the builder that is called so, else of the only one whose name begins like that. */
async function ask(given: string, note: string, client: Client): Promise<SessionView> {
  try {
    return await client.call('session.create', { body: { builder: given, note } });
  } catch (error) {
    if (!isCode(error, 'not-found')) throw error;
    const [only, ...others] = (await builderNames(client)).filter((name) => name.startsWith(given));
    if (others.length > 0) throw new CroftError('invalid', `${given} may be ${[only, ...others].join(', ')}`);
    if (only === undefined || only === given) throw error;
    return client.call('session.create', { body: { builder: only, note } });
  }
}

function countOf(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count > 0 && count <= 100) return count;
  throw new CroftError('invalid', `-count ${JSON.stringify(text)} is not a number from 1 to 100`);
}

/** The name of the group that what is made joins. GRP-1, GRP-4. */
async function groupFor({ newGroup }: CreateOptions, { groups, group }: World): Promise<string | undefined> {
  if (newGroup !== undefined) {
    if (await groups.read(newGroup)) throw new CroftError('conflict', `there is a group ${newGroup} already`);
    await groups.write({ name: newGroup, instances: [] });
    return newGroup;
  }
  if (group?.from === 'flag' && !(await groups.read(group.name)))
    throw new CroftError('not-found', `there is no group ${group.name}`, { hint: `Make it with these: -new-group ${group.name}` });
  return group?.name;
}

async function addToGroup(name: string, made: readonly SessionView[], { groups }: World): Promise<void> {
  const before = (await groups.read(name))?.instances ?? [];
  await groups.write({ name, instances: [...before, ...made.map(({ id }) => id)] });
}
