/** `croft config show`: the configuration that a farm works with, and what is wrong with the last edit of it. */
import type { Command } from 'commander';
import type { ConfigState } from '@croft/protocol/api';
import { formatRelative } from '@croft/web/html/format';
import type { Cli, GlobalOptions, Run } from '@croft/cli/program';
import { connect } from '@croft/cli/connect';
import { exitCodes } from '@croft/cli/exit-codes';
import { printable } from '@croft/cli/terminal';

export function addConfigShow(config: Command, cli: Cli, run: Run): void {
  config
    .command('show')
    .description('print the configuration that the farm works with, and what is wrong with the last edit; for operators')
    .option('--exit-status', 'exit with 1 when the last edit does not hold, or needs a restart to')
    .addHelpText('after', help)
    .action((_, command: Command) => run(() => show(command.optsWithGlobals(), cli)));
}

const help = `
  croft config show | jq '.builders[].name'
  croft config show --exit-status > /dev/null

The settings go to stdout as JSON: defaults filled in, matrices spread, secrets left out. With --json {"state","settings"}.`;

async function show({ exitStatus, ...given }: GlobalOptions & { readonly exitStatus?: boolean }, cli: Cli): Promise<number> {
  const client = await connect(given, cli);
  const configuration = await client.call('config.get');
  const { state, settings } = configuration;
  await cli.stdout.write(given.json ? `${JSON.stringify(configuration)}\n` : `${JSON.stringify(settings, null, 2)}\n`);
  if (!given.json) await cli.stderr.write(stateText(state, cli));
  return exitStatus && (state.problem !== undefined || state.restart.length > 0) ? exitCodes.failed : exitCodes.ok;
}

function stateText({ file, environment, loadedAt, restart, problem }: ConfigState, { stderr, clock }: Cli): string {
  const now = clock.now();
  const mistakes = problem?.mistakes.map(({ file: at, line, setting, message, nearest }) => {
    const place = [at, line, setting].filter((part) => part !== undefined && part !== '').join(':');
    return `  ${place}: ${message}${nearest === undefined ? '' : `; did you mean "${nearest}"?`}`;
  });
  const lines = [
    `${file ?? 'settings of the program'}, ${environment}, loaded ${formatRelative(loadedAt, now)}`,
    ...(restart.length === 0 ? [] : [`these hold from the next start on: ${restart.join(', ')}`]),
  ];
  const bad = problem && [
    `the edit of ${formatRelative(problem.at, now)} does not hold: ${problem.count} ${problem.count === 1 ? 'mistake' : 'mistakes'}`,
    ...(mistakes ?? []),
  ];
  return [...lines.map(printable), ...(bad ?? []).map((line) => stderr.paint('red', `${/^ */.exec(line)?.[0]}${printable(line)}`))]
    .map((line) => `${line}\n`)
    .join('');
}
