/** `croft cancel`: ends builds that wait or run. */
import type { Command } from 'commander';
import { parseBuildId } from '@croft/domain/names';
import type { Cli, GlobalOptions, Run } from '../cli.ts';
import { connect } from '../connect.ts';
import { forEachBuild } from '../each-build.ts';

export function addCancel(program: Command, cli: Cli, run: Run): void {
  program
    .command('cancel <build...>')
    .description('end builds that wait or run')
    .requiredOption('--why <text>', 'shown with the build for ever')
    .action((ids: string[], _, command: Command) => run(() => cancelBuilds(ids, command.optsWithGlobals(), cli)));
}

async function cancelBuilds(ids: readonly string[], { why, ...given }: GlobalOptions & { why: string }, cli: Cli): Promise<number> {
  const builds = ids.map(parseBuildId);
  const client = await connect(given, cli);
  return forEachBuild(builds, { ...cli, json: given.json, done: 'cancelled' }, (build) =>
    client.call('build.cancel', { params: { build }, body: { why } }),
  );
}
