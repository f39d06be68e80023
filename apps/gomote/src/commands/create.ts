/** `gomote create`: asks for machines, waits for them, and may make them ready. */
import { Option, type Command } from 'commander';
import type { SessionView } from '@croft/protocol/sessions';
import { CroftError, isCode } from '@croft/runtime/errors';
import type { Cli, Run } from '@croft/cli/program';
import { exitCodes } from '@croft/cli/exit-codes';
import type { Client } from '@croft/web/client';
import { builderNames } from '../builder-names.ts';
import { makeInstances, type Making } from '../make-instances.ts';
import { makeReady, type Readiness } from '../make-ready.ts';
import { openWorld, type GomoteOptions, type World } from '../world.ts';

interface CreateOptions extends GomoteOptions, Readiness, Making {
  readonly list?: boolean;
  readonly note: string;
}

export function addCreate(program: Command, cli: Cli, run: Run): void {
  program
    .command('create [builder]')
    .option('--status', 'say on stderr what it waits for (-status=false does not)', true)
    .option('--no-status', 'say nothing while waiting')
    .option('--count <n>', 'so many at once', '1')
    .option('--new-group <name>', 'make this group of them')
    .option('--push <dir>', 'then push this directory')
    .option('--run <command>', 'then run this command line of sh there; its output goes to stderr, of several to files')
    .option('--setup', 'push GOROOT and build it there: for Go’s own tree')
    .option('--note <text>', 'what it is for, shown to others', '')
    .option('--list', 'list the builders there are')
    .addOption(new Option('--use-golangbuild', 'taken for the sake of Go’s tools').default(true).hideHelp())
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
  const made = await makeInstances(options, world, () => ask(given, options.note, world.client));
  return makeReady(made, options, world);
}

async function listBuilders({ client, cli, json }: World): Promise<number> {
  const names = await builderNames(client);
  await cli.stdout.write(json ? `${JSON.stringify({ builders: names })}\n` : names.map((name) => `${name}\n`).join(''));
  return exitCodes.ok;
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
