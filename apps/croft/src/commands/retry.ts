/** `croft retry`: queues ended builds again. */
import { Option, type Command } from 'commander';
import { addQuery, chooseBuilds, type QueryOptions } from '../chosen-builds.ts';
import type { Cli, GlobalOptions, Run } from '@croft/cli/program';
import { connect } from '@croft/cli/connect';
import { forEachBuild, showChosen } from '../each-build.ts';

const ends = ['failed', 'timed-out', 'cancelled', 'infra', 'skipped', 'passed'] as const;

interface RetryOptions extends GlobalOptions, QueryOptions {
  readonly end: readonly (typeof ends)[number][];
}

export function addRetry(program: Command, cli: Cli, run: Run): void {
  const command = program
    .command('retry [build...]')
    .addOption(new Option('--end <kind...>', 'with a query: those that ended so').choices(ends).default(['failed', 'timed-out', 'infra']));
  addQuery(command, 100)
    .addHelpText('after', help)
    .action((ids: string[], _, self: Command) => run(() => retryBuilds(ids, self.optsWithGlobals(), cli)));
}

const help = `
  croft retry B35fab4cf3f0ef9e6
  croft retry --builder linux --repo app --dry-run
  croft retry --revision "$(git rev-parse HEAD)" --end infra cancelled

"croft retrybuilds" chooses by what stands in the logs. Exit status: 0 all are queued, 1 one could not be, 2 wrong use or more builds
than --limit.`;

async function retryBuilds(ids: readonly string[], { end, json, ...options }: RetryOptions, cli: Cli): Promise<number> {
  const client = await connect(options, cli);
  const suits = (build: { end?: { kind: (typeof ends)[number] } | undefined }): boolean =>
    build.end !== undefined && end.includes(build.end.kind);
  const builds = await chooseBuilds(ids, { client, query: options, states: ['ended'], suits });
  if (options.dryRun) return showChosen(builds, { ...cli, json, done: 'would be queued again' });
  return forEachBuild(builds, { ...cli, json, done: 'queued again' }, (build) => client.call('build.retry', { params: { build } }));
}
