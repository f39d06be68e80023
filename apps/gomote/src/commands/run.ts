/** `gomote run`: a command on one machine, or on all of a group at once. */
import { join } from 'node:path';
import type { Command } from 'commander';
import { errorText } from '@croft/runtime/errors';
import type { Cli, Run } from '@croft/cli/program';
import { exitCodes } from '@croft/cli/exit-codes';
import { printable } from '@croft/cli/terminal';
import { commandSpec, type CommandOptions, type CommandSpec } from '../command-spec.ts';
import { expandPath } from '../env-list.ts';
import { endSentence, statusOf, type EndedRun, type Sinks } from '../follow-run.ts';
import { fetchTree } from '../fetch-tree.ts';
import { chooseInstances, type Chosen } from '../instances.ts';
import { freshPlace, outputFile, type OutputFile } from '../output-file.ts';
import { ownFailure } from '../own-failure.ts';
import { pathIn, probeEnvironment } from '../probe-environment.ts';
import { completeCommand, shownRun, startCommand } from '../run-on-machine.ts';
import { parsePattern, watchFor } from '../until-match.ts';
import { openWorld, type GomoteOptions, type Machine, type World } from '../world.ts';

interface RunOptions extends GomoteOptions, CommandOptions {
  readonly debug?: boolean;
  readonly path?: string;
  readonly collect?: boolean;
  readonly until?: string;
  readonly detach?: boolean;
}

export function addRun(program: Command, cli: Cli, run: Run): void {
  program
    .command('run [words...]')
    .usage('[options] [instance] command [arguments...]')
    .option('--system', 'a program of the system, in the work directory; implied by a command that begins with /')
    .option('--debug', 'first print what is run, where, and with which variables')
    .option('-e <name=value>', 'a variable; may be given several times', gather, [])
    .option('--dir <dir>', 'run it there, below the work directory')
    .option('--path <list>', 'PATH, with commas between; $PATH and $WORKDIR may stand in it; EMPTY is none')
    .option('--builderenv <builder>', 'with the variables of another builder')
    .option('--firewall', 'set GO_DISABLE_OUTBOUND_NETWORK=true; no more: a machine without a network is made by its pool')
    .option('--collect', 'afterwards keep output and work directory here, as INSTANCE.stdout and INSTANCE.tar.gz')
    .option('--until <regexp>', 'again and again, until a line of the output matches')
    .option('--detach', 'leave it running; prints its name for gomote attach')
    .passThroughOptions()
    .addHelpText('after', help)
    .action((words: string[], _, command: Command) => run(() => runCommand(words, command.optsWithGlobals(), cli), ownFailure));
}

const help = `
  gomote run ann-linux-0 make test              # in the directory that builds of it begin in
  gomote run ann-linux-0 src/all.bash -v        # with a slash: of the work directory, in its own directory
  gomote run -e CGO_ENABLED=0 -dir app ann-linux-0 go test ./...
  gomote run -path '$WORKDIR/go/bin,$PATH' ann-linux-0 go version
  gomote run -detach ann-linux-0 ./soak.sh      # then: gomote attach ann-linux-0
  GOMOTE_GROUP=three gomote run -until FAIL ./flaky.sh

Standard output and standard error arrive apart. Over a group the command runs on all machines at once, and the output of each goes to a file whose
name is printed. A restart of the coordinator is waited for. Ctrl-C interrupts the command, a second one kills it.
Exit status: that of the command; 128 and the number of the signal that killed it; 127 when it, its interpreter or its directory is not
there, 126 when it may not be executed; 125 when gomote itself failed; over a group the highest. With -until 0 once it matched. With --json the output goes to stderr, and one value about it to stdout.`;

function gather(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

async function runCommand(words: readonly string[], options: RunOptions, cli: Cli): Promise<number> {
  const world = await openWorld(options, cli);
  const { sessions, rest, asGroup }: Chosen = await chooseInstances(words, world);
  const spec = commandSpec(rest, options);
  if (options.firewall) await cli.stderr.write('# -firewall: the variable is set; the network of the machine stays as its pool made it\n');
  const place = asGroup && !options.collect ? freshPlace(cli) : async () => cli.cwd;
  const results = await Promise.all(
    sessions.map(async (session) => {
      await using machine = world.machine(session);
      await using file = asGroup || options.collect ? outputFile(place, `${session.alias}.stdout`, cli) : undefined;
      const job: Job = { machine, spec, options, world, asGroup, file };
      return asGroup ? await inGroup(job) : await onMachine(job);
    }),
  );
  if (world.json) await cli.stdout.write(`${JSON.stringify(asGroup ? { runs: results } : results[0])}\n`);
  return Math.max(...results.map(({ status }) => status));
}

interface Job {
  readonly machine: Machine;
  readonly spec: CommandSpec;
  readonly options: RunOptions;
  readonly world: World;
  /** One of several, whose output goes to its file alone. */
  readonly asGroup: boolean;
  readonly file: OutputFile | undefined;
}

interface Result {
  readonly instance: string;
  readonly run?: string;
  readonly status: number;
  readonly exit?: EndedRun['exit'];
  readonly stdout?: string;
  readonly error?: string;
}

/** Whatever happens to one does not stop the others. */
async function inGroup(job: Job): Promise<Result> {
  const { cli } = job.world;
  const { alias } = job.machine.session;
  try {
    const result = await onMachine(job);
    if (result.stdout !== undefined && !job.world.json) await cli.stdout.write(`${result.stdout}\n`);
    await cli.stderr.write(`# ${alias}: exit status ${result.status}\n`);
    return result;
  } catch (error) {
    await cli.stderr.write(`# ${alias}: ${printable(errorText(error))}\n`);
    return { instance: alias, status: ownFailure, error: errorText(error) };
  }
}

async function onMachine(job: Job): Promise<Result> {
  const { machine, options, world, file } = job;
  const spec = await settled(job);
  if (options.detach) return detached(machine, spec, world);
  const watch = options.until === undefined ? undefined : parsePattern(options.until);
  const { alias } = machine.session;
  const { cli } = world;
  for (let round = 1; ; round += 1) {
    await file?.restart();
    const sinks = sinksOf(job);
    const watching = watch && watchFor(watch);
    const seen = watching ? { stdout: watching.through(sinks.stdout), stderr: watching.through(sinks.stderr) } : sinks;
    const run = await startCommand(machine, spec, cli);
    const ended = await completeCommand(machine, run, { sinks: seen, cli });
    watching?.finish();
    const status = watching?.found ? exitCodes.ok : statusOf(ended);
    const sentence = endSentence(ended);
    if (sentence !== undefined) await cli.stderr.write(`# ${alias}: ${printable(sentence)}\n`);
    if (watching && !watching.found && ended.exit.kind === 'exited') {
      await cli.stderr.write(`# ${alias}: round ${round} ended with ${status} and no match\n`);
      continue;
    }
    if (options.collect) await fetchTree(machine, { dir: '.', path: join(cli.cwd, `${alias}.tar.gz`) }, cli);
    return { instance: alias, run: shownRun(machine, run), status, exit: ended.exit, ...(file ? { stdout: await file.finish() } : {}) };
  }
}

/** With PATH as it was asked for, and what `-debug` shows. */
async function settled({ machine, spec: asked, options: { path, debug }, asGroup, world: { cli } }: Job): Promise<CommandSpec> {
  const needsEnvironment = debug || path?.split(',').includes('$PATH');
  const before = needsEnvironment ? await probeEnvironment(machine, asked, cli) : [];
  const workDir = path?.includes('$WORKDIR') ? await machine.buildlet.workDir({}) : '';
  const env = path === undefined ? asked.env : { ...asked.env, PATH: expandPath(path, { workDir, path: pathIn(before) }) };
  // A PATH that was given is whole: the session's directories are in it already, or not wanted.
  const spec: CommandSpec = { ...asked, env, ...(path === undefined ? {} : { path: [] }), ...(asGroup ? {} : { stderr: 'own' }) };
  if (debug) {
    const seen = path === undefined ? before : await probeEnvironment(machine, spec, cli);
    await cli.stderr.write(`# ${spec.argv.join(' ')}\n# in ${spec.dir ?? 'the directory that builds begin in'}\n`);
    await cli.stderr.write(seen.map((entry) => `# ${printable(entry)}\n`).join(''));
  }
  return spec;
}

async function detached(machine: Machine, spec: CommandSpec, { cli, json }: World): Promise<Result> {
  const { alias } = machine.session;
  const name = shownRun(machine, await startCommand(machine, spec, cli));
  if (!json) await cli.stdout.write(`${name}\n`);
  await cli.stderr.write(`# gomote attach ${alias} ${name}\n`);
  return { instance: alias, run: name, status: exitCodes.ok };
}

/** One machine shows both streams; of several each has a file, in which both stand in their order. */
function sinksOf({ asGroup, file, world: { cli, json } }: Job): Sinks {
  if (asGroup && file) return { stdout: file.sink, stderr: file.sink };
  const shown = json ? cli.stderr : cli.stdout;
  return {
    async stdout(bytes) {
      await file?.sink(bytes);
      await shown.write(bytes);
    },
    async stderr(bytes) {
      await file?.sink(bytes);
      await cli.stderr.write(bytes);
    },
  };
}
