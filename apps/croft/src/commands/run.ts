/** `croft run --local`: the steps of a builder on the working tree, as the farm would run them. Asks no farm. */
import { mkdtemp, realpath } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Option, type Command } from 'commander';
import { environmentNames, type EnvironmentName } from '@croft/config/farm-config';
import { endText, type AttemptEnd } from '@croft/domain/outcome';
import { CroftError } from '@croft/runtime/errors';
import { formatDuration } from '@croft/web/html/format';
import type { Cli, GlobalOptions, Run } from '@croft/cli/program';
import { exitCodes } from '@croft/cli/exit-codes';
import type { Watcher } from '../local/run-steps.ts';
import { printable } from '@croft/cli/terminal';

interface RunOptions extends GlobalOptions {
  readonly local: string;
  readonly config?: string;
  readonly env: EnvironmentName;
  readonly committed?: boolean;
}

export function addRun(program: Command, cli: Cli, run: Run): void {
  program
    .command('run')
    .requiredOption('--local <builder>', 'on this machine: the builder whose steps are run')
    .option('--config <file>', 'the configuration that has it; the one here or at the root of the repository by default')
    .addOption(new Option('--env <name>', 'as the builder is in this environment').choices(environmentNames).default('local'))
    .option('--committed', 'what HEAD holds; without it what lies here, less what git ignores')
    .addHelpText('after', help)
    .action((_, command: Command) => run(() => runLocal(command.optsWithGlobals(), cli)));
}

const help = `
A buildlet of its own runs the steps in a copy of the tree, with the order, limits, environment and secrets of the farm; secrets are
blanked out. Nothing is changed here, and nothing is left behind. The log goes to stdout, words about it to stderr. Ctrl-C kills all.

  croft run --local ci                          # without a configuration: the steps found in the tree
  croft run --local unit-22 --config ../farm/croft.config.ts
  croft run --local ci --committed > log

With --json one value {"builder","end","steps"} goes to stdout, and the log to stderr.
Exit status: 0 it passed; 1 it did not, or nothing to run was found; 2 wrong use or a mistake in the configuration; 130 Ctrl-C.`;

/** What a large tree was built in takes a while to remove. */
const ending = 'interrupted: ending what runs, and removing what it wrote\n';

interface StepResult {
  readonly name: string;
  readonly exit: unknown;
  readonly tookMs: number;
}

async function runLocal(options: RunOptions, cli: Cli): Promise<number> {
  const { local: builder, json } = options;
  using interruption = cli.interruption();
  const { signal } = interruption;
  signal.addEventListener('abort', () => void cli.stderr.write(ending).catch(() => {}), { once: true });
  const steps: StepResult[] = [];
  const startedAt = cli.clock.monotonic();
  let end: AttemptEnd;
  try {
    end = await toEnd(options, cli, watcherOf(cli, { json, steps, signal }));
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new CroftError('cancelled', 'interrupted; nothing is left behind');
  }
  if (json) await cli.stdout.write(`${JSON.stringify({ builder, end, steps })}\n`);
  const took = formatDuration(cli.clock.monotonic() - startedAt);
  await cli.stderr.write(`${cli.stderr.paint(end.kind === 'passed' ? 'green' : 'red', printable(endText(end)))} in ${took}\n`);
  return end.kind === 'passed' ? exitCodes.ok : exitCodes.failed;
}

/** Whatever happens, what was started is ended and what was written removed. */
async function toEnd({ local, config, env, committed = false }: RunOptions, cli: Cli, watcher: Told): Promise<AttemptEnd> {
  // Only here: few commands need git, configurations or machines.
  const [{ openLocalMachine }, { planLocal }, { removeTree }, { runSteps }] = await Promise.all([
    import('../local/local-machine.ts'),
    import('../local/plan-local.ts'),
    import('../local/remove-tree.ts'),
    import('../local/run-steps.ts'),
  ]);
  const { signal } = watcher;
  await using stack = new AsyncDisposableStack();
  const dir = await realpath(await mkdtemp(join(tmpdir(), 'croft-run-')));
  stack.defer(() => removeTree(dir));
  const plan = stack.use(await planLocal({ builder: local, config, environment: env, committed }, cli, { dir, signal }));
  for (const note of plan.notes) await watcher.say(note);
  if (typeof plan.planned === 'string') return { kind: 'skipped', why: plan.planned };
  const { job, reason } = plan.planned;
  await watcher.say(reason);
  const { buildlet } = stack.use(await openLocalMachine(dir, cli, { signal }));
  return await runSteps(buildlet, { ...plan, job }, watcher);
}

interface Told extends Watcher {
  say(text: string): Promise<void>;
}

function watcherOf(
  { stdout, stderr, clock }: Cli,
  { json, steps, signal }: { json: boolean | undefined; steps: StepResult[]; signal: AbortSignal },
): Told {
  const log = json ? stderr : stdout;
  return {
    clock,
    signal,
    say: (text) => stderr.write(`${printable(text)}\n`),
    onStep: ({ name, role, argv }) => stderr.write(`${stderr.paint('bold', `${name} (${role})`)}: ${printable(argv.join(' '))}\n`),
    onOutput: (bytes) => log.write(bytes),
    async onStepEnd({ name }, exit, tookMs) {
      steps.push({ name, exit, tookMs });
    },
  };
}
