/** `croft notify`: looks for new commits of a repository now. */
import type { Command } from 'commander';
import { MINUTE } from '@croft/runtime/clock';
import type { Cli, GlobalOptions, Run } from '@croft/cli/program';
import { connect } from '@croft/cli/connect';

/** A first fetch of a large repository takes its time. */
const fetchMs = 10 * MINUTE;

export function addNotify(program: Command, cli: Cli, run: Run): void {
  program
    .command('notify <repo>')
    .addHelpText(
      'after',
      '\n  croft notify app\n\nPrints the ids of what was queued, once it is. A hook of the repository does the same: docs/using/hooks.md.',
    )
    .action((repo: string, _, command: Command) => run(() => notifyRepo(repo, command.optsWithGlobals(), cli)));
}

async function notifyRepo(repo: string, given: GlobalOptions, cli: Cli): Promise<void> {
  const client = await connect(given, cli);
  const found = await client.call('repo.notify', { params: { repo }, timeoutMs: fetchMs });
  if (given.json) return cli.stdout.write(`${JSON.stringify(found)}\n`);
  await cli.stdout.write(found.queued.map((id) => `${id}\n`).join(''));
  await cli.stderr.write(`${found.queued.length} queued\n`);
}
