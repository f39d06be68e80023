/** `croft farm`: machines, what runs and waits, and what is wrong; `croft repos`: what is farmed. */
import type { Command } from 'commander';
import type { Farm, MachineView } from '@croft/protocol/api';
import { formatBytes, formatRelative } from '@croft/web/html/format';
import { buildRow } from '../build-text.ts';
import type { Cli, GlobalOptions, Run } from '@croft/cli/program';
import { connect } from '@croft/cli/connect';
import { exitCodes } from '@croft/cli/exit-codes';
import { printable, table, type Cell } from '@croft/cli/terminal';

export function addFarm(program: Command, cli: Cli, run: Run): void {
  program
    .command('farm')
    .option('--exit-status', 'exit with 1 when nothing starts at present or something keeps failing')
    .addHelpText('after', farmHelp)
    .action((_, command: Command) => run(() => showFarm(command.optsWithGlobals(), cli)));
  program
    .command('repos')
    .addHelpText('after', '\n  croft repos --json | jq -r ".repos[].name"\n\nWith --json {"repos"} of the farm’s own answer.')
    .action((_, command: Command) => run(() => listRepos(command.optsWithGlobals(), cli)));
}

const shownMissing = 5;
const farmHelp = `
  croft farm
  croft farm --exit-status > /dev/null || echo 'somebody should look'

Exit status: 0 it is shown; with --exit-status 1 when nothing starts at present, something keeps failing or a machine is away.`;

async function showFarm({ exitStatus, ...given }: GlobalOptions & { readonly exitStatus?: boolean }, cli: Cli): Promise<number> {
  const client = await connect(given, cli);
  const farm = await client.call('farm.get');
  await cli.stdout.write(given.json ? `${JSON.stringify(farm)}\n` : farmText(farm, cli));
  const { hold, troubles, machineCounts } = farm;
  const isWell = hold === undefined && troubles.length === 0 && machineCounts.away === 0;
  return exitStatus && !isWell ? exitCodes.failed : exitCodes.ok;
}

function farmText(farm: Farm, { stdout, clock }: Cli): string {
  const now = clock.now();
  const { disk, config } = farm;
  const wrong = [
    ...(farm.hold === undefined ? [] : [`nothing starts: ${farm.hold}`]),
    ...farm.troubles.map(({ what, text, since }) => `${what}: ${text}, since ${formatRelative(since, now)}`),
    ...(config.problem === undefined ? [] : [`the last edit of the configuration does not hold: ${config.problem.count} mistakes`]),
  ];
  const builds = [...farm.running, ...farm.queue].map((build) => buildRow(build, now));
  const { ready, busy, away } = farm.machineCounts;
  const [hidden, unseen] = [ready + busy + away - farm.machines.length, farm.runningLength - farm.running.length];
  const more = farm.queueLength - farm.queue.length;
  return [
    `Croft ${printable(farm.version)}, started ${formatRelative(farm.startedAt, now)}; ${formatBytes(disk.freeBytes)} free${disk.ok ? '' : ', which is too little'}\n`,
    ...wrong.map((line) => `${stdout.paint('red', printable(line))}\n`),
    '\n',
    machineTable(farm.machines, { stdout, clock }),
    ...missing(farm, { stdout, clock }),
    hidden > 0 ? `and ${hidden} more machines, of all ${away} away: croft machines list\n` : '',
    '\n',
    builds.length === 0 ? 'nothing runs or waits\n' : table(builds, stdout),
    unseen > 0 ? `and ${unseen} more that run\n` : '',
    more > 0 ? `and ${more} more that wait\n` : '',
  ].join('');
}

/** What should have dialled in, and what to do. */
function missing({ dialIn }: Farm, { stdout, clock }: Pick<Cli, 'stdout' | 'clock'>): string[] {
  return dialIn
    .filter(({ expect, connected }) => connected < expect)
    .flatMap(({ pool, hostType, expect, connected, missing: known }) => [
      `${stdout.paint('red', `${expect - connected} missing`)}: ${connected} of ${expect} machines of the pool ${printable(pool)} are connected\n`,
      ...known
        .slice(0, shownMissing)
        .map(({ host, seenAt, why }) => `  ${printable(host)}, last here ${formatRelative(seenAt, clock.now())}: ${printable(why)}\n`),
      `  a new one joins by /dist/install.sh of the farm with a key of croft key create --host-type ${printable(hostType)};\n`,
      '  the log of its service, croft-buildlet, tells why another one stays away\n',
    ]);
}

export function machineTable(machines: readonly MachineView[], { stdout, clock }: Pick<Cli, 'stdout' | 'clock'>): string {
  return table(
    machines.map((machine) => machineRow(machine, clock.now())),
    stdout,
  );
}

function machineRow({ id, state, labels, forSessions, lease, next, evidence, seenAt }: MachineView, now: number): Cell[] {
  return [
    { text: printable(id) },
    { text: state, style: state === 'ready' ? 'green' : state === 'busy' ? 'blue' : 'red' },
    { text: [...(forSessions ? ['for sessions'] : []), ...labels.map(printable)].join(',') },
    { text: lease?.build ?? lease?.session?.alias ?? '' },
    {
      text: state === 'away' || state === 'gone' ? `seen ${formatRelative(seenAt, now)}; ${printable(evidence ?? next)}` : printable(next),
      style: 'gray',
    },
  ];
}

async function listRepos(given: GlobalOptions, cli: Cli): Promise<void> {
  const client = await connect(given, cli);
  const { repos } = await client.call('farm.get');
  if (given.json) return cli.stdout.write(`${JSON.stringify({ repos })}\n`);
  if (repos.length === 0) return cli.stderr.write('no repositories\n');
  const rows = repos.map(({ name, url, defaultBranch, lastFetchAt, error }): Cell[] => [
    { text: printable(name) },
    { text: printable(defaultBranch ?? '') },
    { text: lastFetchAt === undefined ? 'never fetched' : `fetched ${formatRelative(lastFetchAt, cli.clock.now())}` },
    { text: printable(error ?? url), style: error === undefined ? 'gray' : 'red' },
  ]);
  await cli.stdout.write(table(rows, cli.stdout));
}
