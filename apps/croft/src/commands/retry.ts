/** `croft retry`: queues ended builds again. */
import type { Command } from 'commander';
import { parseBuildId } from '@croft/domain/names';
import type { Cli, GlobalOptions, Run } from '../cli.ts';
import { connect } from '../connect.ts';
import { forEachBuild } from '../each-build.ts';

export function addRetry(program: Command, cli: Cli, run: Run): void {
  program
    .command('retry <build...>')
    .description('queue ended builds again; old attempts are kept')
    .action((ids: string[], _, command: Command) => run(() => retryBuilds(ids, command.optsWithGlobals(), cli)));
}

async function retryBuilds(ids: readonly string[], given: GlobalOptions, cli: Cli): Promise<number> {
  const builds = ids.map(parseBuildId);
  const client = await connect(given, cli);
  return forEachBuild(builds, { ...cli, json: given.json, done: 'queued again' }, (build) =>
    client.call('build.retry', { params: { build } }),
  );
}
