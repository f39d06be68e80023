/** `croft grid`: commits against builders; `croft builders`: each with its newest build. */
import { Option, type Command } from 'commander';
import type { BuildSummary, Grid } from '@croft/protocol/api';
import { styleOf, timeText, wordOf } from '../build-text.ts';
import type { Cli, GlobalOptions, Run } from '@croft/cli/program';
import { connect } from '@croft/cli/connect';
import { printable, table, type Cell } from '@croft/cli/terminal';

interface GridOptions extends GlobalOptions {
  readonly repo?: string;
  readonly branch?: string;
  readonly page?: string;
}

export function addGrid(program: Command, cli: Cli, run: Run): void {
  const verb = (name: string, act: (options: GridOptions) => Promise<void>): Command =>
    program
      .command(name)
      .option('--repo <name>', 'of one repository; the first one by default')
      .option('--branch <name>', 'of one branch; the one its HEAD is on by default')
      .action((_, command: Command) => run(() => act(command.optsWithGlobals())));
  verb('grid', (options) => showGrid(options, cli))
    .addOption(new Option('--page <n>', 'older ones: counted from 0').default('0'))
    .addHelpText('after', gridHelp);
  verb('builders', (options) => listBuilders(options, cli)).addHelpText('after', buildersHelp);
}

const gridHelp = `
  croft grid --repo app --branch release/1.2

+ passed, x failed or timed out, . waits, > runs, ! infrastructure, - cancelled or skipped; blank where nothing is to be built.`;

const buildersHelp = `
  croft builders --repo app
  croft builders --json | jq -r '.builders[].name'

With --json one value {"repo","branch","builders"}, each builder with its "name" and its newest "build", if there is one.`;

async function gridOf({ repo, branch, page, ...given }: GridOptions, cli: Cli): Promise<Grid> {
  const client = await connect(given, cli);
  return client.call('grid.get', { query: { repo, branch, page } });
}

async function showGrid(options: GridOptions, cli: Cli): Promise<void> {
  const grid = await gridOf(options, cli);
  if (options.json) return cli.stdout.write(`${JSON.stringify(grid)}\n`);
  const legend = grid.builders.map((name, index) => `  ${'|'.repeat(index)}${printable(name)}\n`).join('');
  const rows = grid.rows.map(({ commit, cells }) => {
    const marks = cells.map((cell) => (cell ? painted(cell, cli) : ' ')).join('');
    return `${marks}  ${commit.revision.slice(0, 8)}  ${printable(commit.subject).slice(0, 72)}\n`;
  });
  await cli.stderr.write(`${printable(grid.repo)} ${printable(grid.branch)}\n`);
  await cli.stdout.write(rows.length === 0 ? '' : `${legend.replaceAll(/^ {2}/gm, '')}${rows.join('')}`);
  if (grid.older) await cli.stderr.write(`older: croft grid --page ${grid.page + 1}\n`);
}

function painted(build: BuildSummary, { stdout }: Cli): string {
  const style = styleOf(build);
  return style ? stdout.paint(style, markOf(build)) : markOf(build);
}

function markOf({ state, end }: BuildSummary): string {
  if (state !== 'ended') return state === 'queued' ? '.' : '>';
  const marks = { passed: '+', failed: 'x', 'timed-out': 'x', infra: '!', cancelled: '-', skipped: '-' } as const;
  return end ? marks[end.kind] : '-';
}

async function listBuilders(options: GridOptions, cli: Cli): Promise<void> {
  const { repo, branch, builders, rows } = await gridOf(options, cli);
  const newest = builders.map((name, column) => ({
    name,
    build: rows.map(({ cells }) => cells[column] ?? undefined).find((cell) => cell !== undefined),
  }));
  if (options.json) return cli.stdout.write(`${JSON.stringify({ repo, branch, builders: newest })}\n`);
  if (newest.length === 0) return cli.stderr.write('no builders\n');
  const cellsOf = (build: BuildSummary): Cell[] => [
    { text: wordOf(build), style: styleOf(build) },
    { text: build.id },
    { text: `${build.revision.slice(0, 8)}, ${timeText(build, cli.clock.now())}`, style: 'gray' },
  ];
  const none: Cell[] = [{ text: 'no build' }, { text: '' }, { text: '' }];
  await cli.stdout.write(
    table(
      newest.map(({ name, build }) => [{ text: printable(name) }, ...(build ? cellsOf(build) : none)]),
      cli.stdout,
    ),
  );
}
