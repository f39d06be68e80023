/** `croft audit`: who asked for what change; `croft whoami`: who the farm takes you for. */
import type { Command } from 'commander';
import { formatInstant } from '@croft/web/html/format';
import type { Cli, GlobalOptions, Run } from '@croft/cli/program';
import { connect } from '@croft/cli/connect';
import { printable, table, type Cell } from '@croft/cli/terminal';

interface AuditOptions extends GlobalOptions {
  readonly limit: string;
  readonly before?: string;
}

export function addAudit(program: Command, cli: Cli, run: Run): void {
  program
    .command('audit')
    .option('--limit <n>', 'at most so many', '50')
    .option('--before <id>', 'go on from where a list ended (its "next")')
    .addHelpText('after', '\n  croft audit --limit 500 --json')
    .action((_, command: Command) => run(() => listAudit(command.optsWithGlobals(), cli)));
  program
    .command('whoami')
    .addHelpText('after', '\nWhat each role may do: docs/security.md. Exit status: 0 it is said, 4 the token is not taken.')
    .action((_, command: Command) => run(() => showMe(command.optsWithGlobals(), cli)));
}

async function listAudit({ limit, before, ...given }: AuditOptions, cli: Cli): Promise<void> {
  const client = await connect(given, cli);
  const list = await client.call('audit.list', { query: { limit, before } });
  if (given.json) return cli.stdout.write(`${JSON.stringify(list)}\n`);
  if (list.entries.length === 0) return cli.stderr.write('nothing yet\n');
  const rows = list.entries.map(({ at, who, what, target, from }): Cell[] => [
    { text: formatInstant(at) },
    { text: printable(who) },
    { text: printable(what), style: 'bold' },
    { text: printable(target) },
    { text: printable(from), style: 'gray' },
  ]);
  await cli.stdout.write(table(rows, cli.stdout));
  if (list.next !== undefined) await cli.stderr.write(`more: croft audit --before ${list.next}\n`);
}

async function showMe(given: GlobalOptions, cli: Cli): Promise<void> {
  const client = await connect(given, cli);
  const me = await client.call('me.get');
  await cli.stdout.write(given.json ? `${JSON.stringify(me)}\n` : `${printable(me.name)}  ${me.role}  ${client.server}\n`);
}
