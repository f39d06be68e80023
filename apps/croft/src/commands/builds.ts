/** `croft builds`: the newest builds. */
import { Option, type Command } from 'commander';
import type { Cli, GlobalOptions, Run } from '@croft/cli/program';
import { buildRow } from '../build-text.ts';
import { connect } from '@croft/cli/connect';
import { table } from '@croft/cli/terminal';

interface BuildsOptions extends GlobalOptions {
  readonly repo?: string;
  readonly builder?: string;
  readonly revision?: string;
  readonly state?: 'queued' | 'running' | 'ended';
  readonly limit: string;
  readonly before?: string;
}

export function addBuilds(program: Command, cli: Cli, run: Run): void {
  program
    .command('builds')
    .option('--repo <name>', 'of one repository')
    .option('--builder <name>', 'of one builder')
    .option('--revision <hash>', 'of one commit, by its full hash')
    .addOption(new Option('--state <state>', 'in one state').choices(['queued', 'running', 'ended']))
    .option('--limit <n>', 'at most so many', '20')
    .option('--before <cursor>', 'go on from where a list ended (its "next")')
    .addHelpText(
      'after',
      '\n  croft builds --state running\n  croft builds --revision "$(git rev-parse HEAD)" --json | jq -r ".builds[].id"',
    )
    .action((_, command: Command) => run(() => listBuilds(command.optsWithGlobals(), cli)));
}

async function listBuilds({ repo, builder, revision, state, limit, before, ...given }: BuildsOptions, cli: Cli): Promise<void> {
  const client = await connect(given, cli);
  const list = await client.call('builds.list', { query: { repo, builder, revision, state, limit, before } });
  if (given.json) return cli.stdout.write(`${JSON.stringify(list)}\n`);
  if (list.builds.length === 0) return cli.stderr.write('no builds\n');
  await cli.stdout.write(
    table(
      list.builds.map((build) => buildRow(build, cli.clock.now())),
      cli.stdout,
    ),
  );
  if (list.next !== undefined) await cli.stderr.write(`more: croft builds --before ${list.next}\n`);
}
