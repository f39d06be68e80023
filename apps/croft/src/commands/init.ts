/** `croft init`: writes the configuration that would be used for this repository. Reads the working tree and asks no farm. */
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import type { Command } from 'commander';
import { CroftError } from '@croft/runtime/errors';
import type { Cli, GlobalOptions, Run } from '@croft/cli/program';
import { configNames } from '../config-file.ts';
import { printable } from '@croft/cli/terminal';
import type { Proposal } from '../config-text.ts';

interface InitOptions extends GlobalOptions {
  readonly yaml?: boolean;
  readonly force?: boolean;
}

export function addInit(program: Command, cli: Cli, run: Run): void {
  program
    .command('init')
    .option('--yaml', 'croft.config.yaml instead of croft.config.ts')
    .option('--force', 'write over the one that is there')
    .addHelpText('after', help)
    .action((_, command: Command) => run(() => init(command.optsWithGlobals(), cli)));
}

const help = `
It lies at the root of the repository and has one builder, "ci", with the steps found in the working tree and the reason for them.
Nothing of the repository is run to find out: docs/using/detection.md says what is looked at.

  croft init                    # writes croft.config.ts
  croft config check            # says what it would build
  croft run --local ci          # runs the builder on your working tree

Exit status: 0 it is written, also where nothing to run was found; 1 it could not be written; 2 there is one already, or no repository.`;

async function init({ yaml, force, json }: InitOptions, cli: Cli): Promise<void> {
  const { root, proposal } = await propose(cli);
  const file = join(root, yaml ? 'croft.config.yaml' : 'croft.config.ts');
  const present = configNames.filter((name) => existsSync(join(root, name)));
  if (present.length > 0 && !force) {
    throw new CroftError('invalid', `there is a configuration already: ${join(root, present[0] ?? '')}`, {
      hint: 'Look at it with "croft config check", or write another over it with --force.',
    });
  }
  const { programText, yamlText } = await import('../config-text.ts');
  await writeFile(file, (yaml ? yamlText : programText)(proposal), { mode: 0o644 });
  const { repo, branch, found } = proposal;
  const shown = relative(cli.cwd, file);
  if (json)
    return cli.stdout.write(`${JSON.stringify({ file, repo, branch, ...(typeof found === 'string' ? { nothing: found } : found) })}\n`);
  await cli.stdout.write(foundText(proposal, cli));
  const others = present.filter((name) => join(root, name) !== file);
  if (others.length > 0) await cli.stderr.write(`beside it there is still: ${others.join(', ')}\n`);
  await cli.stderr.write(`${printable(shown)} is written. Next: croft config check; croft run --local ci\n`);
}

async function propose({ cwd, env, clock, interruption }: Cli): Promise<{ root: string; proposal: Proposal }> {
  // Only here: few commands need git.
  const [{ openWorkingTree }, { treeOfFiles }, { parseRepositoryUrl, suggestedName }, { detectAll, detectSteps }] = await Promise.all([
    import('@croft/forge/working-tree'),
    import('@croft/forge/detection-tree'),
    import('@croft/forge/repository-url'),
    import('@croft/domain/detect-steps'),
  ]);
  await using stack = new AsyncDisposableStack();
  const { signal } = stack.use(interruption()); // until the directory is gone
  const gitHome = await mkdtemp(join(tmpdir(), 'croft-init-'));
  stack.defer(() => rm(gitHome, { recursive: true, force: true }));
  const working = await openWorkingTree({ dir: cwd, gitHome, userHome: env['HOME'], clock, path: env['PATH'] }, { signal }).catch(
    wrongPlace,
  );
  const { root, branch, origin } = working;
  const shown = origin === undefined ? undefined : parseRepositoryUrl(origin).shown;
  const tree = await treeOfFiles(working, { signal });
  const found = await detectSteps(tree);
  const others = (await detectAll(tree)).filter(({ reason }) => typeof found === 'string' || reason !== found.reason);
  return { root, proposal: { repo: suggestedName({ shown: shown ?? root }), branch, origin: shown, found, others } };
}

/** What was asked for here can be done elsewhere: wrong use. */
function wrongPlace(error: unknown): never {
  if (!(error instanceof CroftError) || error.code !== 'not-found') throw error;
  throw new CroftError('invalid', error.message, { cause: error, hint: error.hint });
}

function foundText({ found, others }: Proposal, { stdout }: Cli): string {
  if (typeof found === 'string') return `${printable(found)}\n`;
  const steps = found.steps.map(({ name, role, argv }) => `  ${stdout.paint('bold', name)} (${role}): ${printable(argv.join(' '))}\n`);
  const also = others.map(({ reason }) => `not run, since that comes first: ${printable(reason)}\n`);
  return `${printable(found.reason)}, so the builder "ci" runs:\n${steps.join('')}${also.join('')}`;
}
