/** `croft cancel`: ends builds that wait or run. */
import type { Command } from 'commander';
import { addQuery, chooseBuilds, type QueryOptions } from '../chosen-builds.ts';
import type { Cli, GlobalOptions, Run } from '@croft/cli/program';
import { connect } from '@croft/cli/connect';
import { forEachBuild, showChosen } from '../each-build.ts';

export function addCancel(program: Command, cli: Cli, run: Run): void {
  const command = program.command('cancel [build...]').requiredOption('--why <text>', 'shown with the build for ever');
  addQuery(command, 100)
    .addHelpText('after', help)
    .action((ids: string[], _, self: Command) => run(() => cancelBuilds(ids, self.optsWithGlobals(), cli)));
}

const help = `
  croft cancel B35fab4cf3f0ef9e6 --why superseded
  croft cancel --builder bench --why 'the machine is needed' --dry-run

Exit status: 0 all are cancelled, 1 one could not be, 2 wrong use or more builds than --limit.`;

async function cancelBuilds(
  ids: readonly string[],
  { why, json, ...options }: GlobalOptions & QueryOptions & { readonly why: string },
  cli: Cli,
): Promise<number> {
  const client = await connect(options, cli);
  const builds = await chooseBuilds(ids, {
    client,
    query: options,
    states: ['queued', 'running'],
    suits: ({ state }) => state !== 'cancelling',
  });
  if (options.dryRun) return showChosen(builds, { ...cli, json, done: 'would be cancelled' });
  return forEachBuild(builds, { ...cli, json, done: 'cancelled' }, (build) =>
    client.call('build.cancel', { params: { build }, body: { why } }),
  );
}
