/** `gomote repro`, `hold` and `unhold`: machines of builds. */
import { Option, type Command } from 'commander';
import { parseBuildId } from '@croft/domain/names';
import { CroftError } from '@croft/runtime/errors';
import type { SessionView } from '@croft/protocol/sessions';
import type { Cli, Run } from '@croft/cli/program';
import { parseDuration } from '../durations.ts';
import { makeInstances, type Making } from '../make-instances.ts';
import { openWorld, type GomoteOptions, type World } from '../world.ts';
import { sessionLine } from './sessions.ts';

interface ReproOptions extends GomoteOptions, Making {
  readonly note: string;
}

interface HoldOptions extends GomoteOptions {
  readonly note: string;
  readonly for?: string;
}

export function addBuilds(program: Command, cli: Cli, run: Run): void {
  program
    .command('repro <build>')
    .option('--status', 'say on stderr what it waits for (-status=false does not)', true)
    .option('--no-status', 'say nothing while waiting')
    .option('--count <n>', 'so many at once', '1')
    .option('--new-group <name>', 'make this group of them')
    .option('--note <text>', 'what it is for', '')
    .addOption(new Option('--public', 'taken for the sake of Go’s tools').hideHelp())
    .addHelpText('after', '\n  gomote ssh $(gomote repro B35fab4cf3f0ef9e6)')
    .action((build: string, _, command: Command) => run(() => repro(build, command.optsWithGlobals(), cli)));
  program
    .command('hold <build>')
    .option('--for <time>', 'for so long; as long as the farm keeps one by default')
    .option('--note <text>', 'what it is for', '')
    .addHelpText('after', '\n  gomote hold -for 2h B35fab4cf3f0ef9e6\n\nWhile the attempt runs: when it ends.')
    .action((build: string, _, command: Command) => run(() => hold(build, command.optsWithGlobals(), cli)));
  program
    .command('unhold <build>')
    .action((build: string, _, command: Command) => run(() => unhold(build, command.optsWithGlobals(), cli)));
}

/** Go's tools write them with a `b` in front. */
function buildOf(text: string): string {
  return parseBuildId(text.startsWith('bB') ? text.slice(1) : text);
}

async function repro(build: string, { note, ...options }: ReproOptions, cli: Cli): Promise<void> {
  const world = await openWorld(options, cli);
  const params = { build: buildOf(build) };
  const made = await makeInstances(options, world, () => world.client.call('build.repro', { params, body: { note } }));
  const detail = await world.client.call('build.get', { params });
  const failed = detail.attemptList.at(-1)?.steps.find(({ exit }) => exit !== undefined && !(exit.kind === 'exited' && exit.code === 0));
  if (!failed) return;
  for (const { alias } of made)
    await cli.stderr.write(`# the step that failed: gomote run ${alias} ${failed.argv.map(quoted).join(' ')}\n`);
}

async function hold(build: string, { note, for: time, ...given }: HoldOptions, cli: Cli): Promise<void> {
  const forMs = time === undefined ? {} : { forMs: parseDuration(time, '-for') };
  const world = await openWorld(given, cli);
  const session = await world.client.call('build.hold', { params: { build: buildOf(build) }, body: { note, ...forMs } });
  await show(session, world);
  if (session.state !== 'active') await cli.stderr.write(`# ${sessionLine(session, cli.clock.now())}`);
}

async function unhold(build: string, given: GomoteOptions, cli: Cli): Promise<void> {
  const world = await openWorld(given, cli);
  const session = await world.client.call('build.unhold', { params: { build: buildOf(build) }, body: { why: 'gomote unhold' } });
  if (world.json) await cli.stdout.write(`${JSON.stringify(session)}\n`);
  else await cli.stderr.write(`# ${session.alias} is given back\n`);
}

function show(session: SessionView, { cli, json }: World): Promise<void> {
  return cli.stdout.write(json ? `${JSON.stringify(session)}\n` : `${session.alias}\n`);
}

/** For a shell, in one line. @throws CroftError `invalid` for a NUL, which nothing can hold */
function quoted(word: string): string {
  if (word.includes('\0')) throw new CroftError('invalid', 'a word holds a NUL');
  return /^[A-Za-z0-9_./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
