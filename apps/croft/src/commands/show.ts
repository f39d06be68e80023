/** `croft show`: one build with its attempts and steps. */
import type { Command } from 'commander';
import { endText } from '@croft/domain/outcome';
import { parseBuildId } from '@croft/domain/names';
import type { AttemptView, BuildDetail, StepView } from '@croft/protocol/api';
import { formatBytes, formatDuration, formatRelative } from '@croft/web/html/format';
import type { Cli, GlobalOptions, Run } from '@croft/cli/program';
import { styleOf, timeText, wordOf } from '../build-text.ts';
import { connect } from '@croft/cli/connect';
import { printable, table, type Cell, type Output } from '@croft/cli/terminal';

export function addShow(program: Command, cli: Cli, run: Run): void {
  program
    .command('show <build>')
    .addHelpText(
      'after',
      '\n  croft show B35fab4cf3f0ef9e6\n\nAttempts with their ends, steps with durations, why it waits, and its address.',
    )
    .action((id: string, _, command: Command) => run(() => showBuild(id, command.optsWithGlobals(), cli)));
}

async function showBuild(id: string, given: GlobalOptions, cli: Cli): Promise<void> {
  const client = await connect(given, cli);
  const build = await client.call('build.get', { params: { build: parseBuildId(id) } });
  if (given.json) return cli.stdout.write(`${JSON.stringify(build)}\n`);
  const now = cli.clock.now();
  await cli.stdout.write(headText(build, cli.stdout, now));
  for (const attempt of build.attemptList) await cli.stdout.write(attemptText(attempt, cli.stdout, now));
  await cli.stdout.write(`\n${client.server}${build.url}\n`);
}

function headText(build: BuildDetail, { paint }: Output, now: number): string {
  const word = wordOf(build);
  const style = styleOf(build);
  const lines = [
    `${style ? paint(style, word) : word}  ${printable(build.builder)}  ${printable(build.repo)}@${build.revision.slice(0, 12)}  ${timeText(build, now)}`,
    build.commit && `${printable(build.commit.subject)} (${printable(build.commit.authorName)})`,
    build.end && build.end.kind !== 'passed' && printable(endText(build.end)),
    build.wait &&
      `waits: ${printable(build.wait.text)}${build.wait.expectedAt === undefined ? '' : `, expected to start ${formatRelative(build.wait.expectedAt, now)}`}`,
    build.state !== 'ended' && build.expectedEndAt !== undefined && `expected to end ${formatRelative(build.expectedEndAt, now)}`,
  ];
  return `${lines.filter(Boolean).join('\n')}\n`;
}

function attemptText(attempt: AttemptView, output: Output, now: number): string {
  const { number, machine, end, startedAt, endedAt, log, reason } = attempt;
  const title = output.paint('bold', `attempt ${number}`);
  const ended = end ? printable(endText(end)) : 'running';
  const head = `\n${title} on ${printable(machine)}: ${ended}, ${formatDuration((endedAt ?? now) - startedAt)}, log ${formatBytes(log.bytes)} ${log.state}\n`;
  const why = reason === undefined ? '' : `  ${printable(reason)}\n`;
  return (
    head +
    why +
    table(
      attempt.steps.map((step) => stepRow(step, now)),
      output,
    )
  );
}

function stepRow({ name, state, startedAt, endedAt, exit, argv }: StepView, now: number): Cell[] {
  const spent = startedAt === undefined ? '' : formatDuration((endedAt ?? now) - startedAt);
  const good = exit?.kind === 'exited' && exit.code === 0;
  const said = exit === undefined ? state : exit.kind === 'exited' ? `exit ${exit.code}` : exit.kind;
  return [
    { text: `  ${printable(name)}` },
    { text: said, style: exit === undefined ? 'gray' : good ? 'green' : 'red' },
    { text: spent },
    { text: printable(argv.join(' ')), style: 'gray' },
  ];
}
