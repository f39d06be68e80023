/** `croft key`: make, list and revoke the keys of machines that dial in. */
import type { Command } from 'commander';
import type { KeyView } from '@croft/protocol/machines';
import { DAY } from '@croft/runtime/clock';
import { formatInstant, formatRelative } from '@croft/web/html/format';
import type { Cli, GlobalOptions, Run } from '@croft/cli/program';
import { connect, locate } from '@croft/cli/connect';
import { printable, table, type Cell } from '@croft/cli/terminal';
import { parseTime } from './token.ts';

interface CreateOptions extends GlobalOptions {
  readonly hostType: string;
  readonly name?: string;
  readonly expires: string;
}

export function addKey(program: Command, cli: Cli, run: Run): void {
  const key = program.command('key');
  key
    .command('create')
    .description('make a key; it is printed once, on stdout')
    .requiredOption('--host-type <type>', 'the only host type that it lets in')
    .option('--name <name>', 'which machines will use it; the host type by default')
    .option('--expires <time>', 'how long it counts, like 90d; ten years at most', '366d')
    .addHelpText('after', '\n  croft key create --host-type host-linux-arm64 --name "rack 3" > key')
    .action((_, command: Command) => run(() => createKey(command.optsWithGlobals(), cli)));
  key
    .command('list')
    .description('list keys')
    .action((_, command: Command) => run(() => listKeys(command.optsWithGlobals(), cli)));
  key
    .command('revoke <id>')
    .description('let nobody in by a key any more; machines that are in stay until their line ends')
    .addHelpText('after', '\n  croft key list\n  croft key revoke K0123456789ab')
    .action((id: string, _, command: Command) => run(() => revokeKey(id, command.optsWithGlobals(), cli)));
}

async function createKey({ hostType, name = hostType, expires, ...given }: CreateOptions, cli: Cli): Promise<void> {
  const expiresInMs = parseTime(expires, { maxDays: 3_660 });
  const client = await connect(given, cli);
  const made = await client.call('key.create', { body: { hostType, name, expiresInMs } });
  if (given.json) return cli.stdout.write(`${JSON.stringify(made)}\n`);
  await cli.stdout.write(`${made.secret}\n`);
  const until = formatInstant(made.expiresAt);
  await cli.stderr.write(`${made.id}: machines of ${printable(hostType)}, until ${until}. This is the only time it is shown.\n`);
  const { server } = await locate(given, cli);
  await cli.stderr.write(`On the machine, as root:\n  curl -fsSo install.sh ${server}/dist/install.sh\n`);
  await cli.stderr.write(`  sh install.sh --farm ${server} --host-type ${printable(hostType)}\n`);
}

async function listKeys(given: GlobalOptions, cli: Cli): Promise<void> {
  const client = await connect(given, cli);
  const list = await client.call('key.list');
  if (given.json) return cli.stdout.write(`${JSON.stringify(list)}\n`);
  if (list.keys.length === 0) return cli.stderr.write('no keys\n');
  const now = cli.clock.now();
  await cli.stdout.write(
    table(
      list.keys.map((key) => keyRow(key, now)),
      cli.stdout,
    ),
  );
}

async function revokeKey(id: string, given: GlobalOptions, cli: Cli): Promise<void> {
  const client = await connect(given, cli);
  const revoked = await client.call('key.revoke', { params: { key: id } });
  await cli.stdout.write(given.json ? `${JSON.stringify(revoked)}\n` : `${revoked.id} revoked\n`);
}

/** A key that soon lets nobody in is said so while there is time. */
const soonMs = 30 * DAY;

function keyRow({ id, name, hostType, expiresAt, lastUsedAt, revokedAt }: KeyView, now: number): Cell[] {
  const ended = revokedAt !== undefined ? 'revoked' : expiresAt <= now ? 'expired' : undefined;
  const style = ended ? 'gray' : expiresAt - now < soonMs ? 'yellow' : undefined;
  return [
    { text: id },
    { text: printable(hostType) },
    { text: printable(name) },
    { text: ended ?? `until ${formatInstant(expiresAt).slice(0, 10)}`, style },
    { text: lastUsedAt === undefined ? 'never used' : `used ${formatRelative(lastUsedAt, now)}`, style: 'gray' },
  ];
}
