/** `croft records`: what happened to a build and how long each part took, in the originals' words. */
import type { Command } from 'commander';
import { parseBuildId } from '@croft/domain/names';
import { formatDuration, formatInstant } from '@croft/web/html/format';
import type { Cli, GlobalOptions, Run } from '@croft/cli/program';
import { connect } from '@croft/cli/connect';
import { printable, table, type Cell } from '@croft/cli/terminal';

export function addRecords(program: Command, cli: Cli, run: Run): void {
  program
    .command('records <build>')
    .alias('events')
    .addHelpText('after', help)
    .action((id: string, _, command: Command) => run(() => showRecords(id, command.optsWithGlobals(), cli)));
}

const help = `
  croft records B35fab4cf3f0ef9e6
  croft records B35fab4cf3f0ef9e6 --json | jq '.spans[] | [.Event, .Seconds]'

The names are those of Go's build system, for tools that gather them.`;

async function showRecords(id: string, given: GlobalOptions, cli: Cli): Promise<void> {
  const client = await connect(given, cli);
  const records = await client.call('build.records', { params: { build: parseBuildId(id) } });
  if (given.json) return cli.stdout.write(`${JSON.stringify(records)}\n`);
  const events = records.events.map(({ attempt, at, event, text }): Cell[] => [
    { text: formatInstant(at) },
    { text: `attempt ${attempt}` },
    { text: printable(event) },
    { text: printable(text), style: 'gray' },
  ]);
  const spans = records.spans.map(({ Event, Seconds, Error: failure, Detail }): Cell[] => [
    { text: printable(Event) },
    { text: formatDuration(Seconds * 1_000), style: failure === '' ? undefined : 'red' },
    { text: printable([Detail, failure].filter(Boolean).join(': ')), style: 'gray' },
  ]);
  await cli.stdout.write(`${table(events, cli.stdout)}\n${table(spans, cli.stdout)}`);
}
