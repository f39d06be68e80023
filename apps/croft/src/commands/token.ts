/** `croft token`: make, list and revoke tokens. */
import { Option, type Command } from 'commander';
import { roleNames, type RoleName } from '@croft/protocol/api';
import { type TokenView } from '@croft/protocol/tokens';
import { DAY, HOUR } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { formatInstant, formatRelative } from '@croft/web/html/format';
import type { Cli, GlobalOptions, Run } from '@croft/cli/program';
import { connect } from '@croft/cli/connect';
import { printable, table, type Cell } from '@croft/cli/terminal';

interface CreateOptions extends GlobalOptions {
  readonly name: string;
  readonly role: RoleName;
  readonly expires: string;
  readonly repo: readonly string[];
}

export function addToken(program: Command, cli: Cli, run: Run): void {
  const token = program.command('token');
  token
    .command('create')
    .description('make a token; its secret is printed once, on stdout')
    .requiredOption('--name <name>', 'who or what will use it')
    .addOption(new Option('--role <role>', 'what it may do').choices(roleNames).default('viewer'))
    .option('--expires <time>', 'how long it counts, like 12h or 90d; a year at most', '90d')
    .option('--repo <name...>', 'only for these repositories', [])
    .addHelpText('after', '\n  croft token create --name ci --role developer --expires 30d > token')
    .action((_, command: Command) => run(() => createToken(command.optsWithGlobals(), cli)));
  token
    .command('list')
    .description('list tokens')
    .action((_, command: Command) => run(() => listTokens(command.optsWithGlobals(), cli)));
  token
    .command('revoke <id>')
    .description('end a token now, and the sessions made with it')
    .addHelpText('after', '\n  croft token list\n  croft token revoke T0123456789ab')
    .action((id: string, _, command: Command) => run(() => revokeToken(id, command.optsWithGlobals(), cli)));
}

async function createToken({ name, role, expires, repo, ...given }: CreateOptions, cli: Cli): Promise<void> {
  const expiresInMs = parseTime(expires);
  const client = await connect(given, cli);
  const made = await client.call('token.create', { body: { name, role, repos: [...repo], expiresInMs } });
  if (given.json) return cli.stdout.write(`${JSON.stringify(made)}\n`);
  await cli.stdout.write(`${made.secret}\n`);
  await cli.stderr.write(`${made.id}: ${role}, until ${formatInstant(made.expiresAt)}. This is the only time its secret is shown.\n`);
}

async function listTokens(given: GlobalOptions, cli: Cli): Promise<void> {
  const client = await connect(given, cli);
  const list = await client.call('token.list');
  if (given.json) return cli.stdout.write(`${JSON.stringify(list)}\n`);
  if (list.tokens.length === 0) return cli.stderr.write('no tokens\n');
  await cli.stdout.write(
    table(
      list.tokens.map((token) => tokenRow(token, cli.clock.now())),
      cli.stdout,
    ),
  );
}

async function revokeToken(id: string, given: GlobalOptions, cli: Cli): Promise<void> {
  const client = await connect(given, cli);
  const revoked = await client.call('token.revoke', { params: { token: id } });
  await cli.stdout.write(given.json ? `${JSON.stringify(revoked)}\n` : `${revoked.id} revoked\n`);
}

function tokenRow({ id, name, role, repos, expiresAt, lastUsedAt, revokedAt }: TokenView, now: number): Cell[] {
  const ended = revokedAt !== undefined ? 'revoked' : expiresAt <= now ? 'expired' : undefined;
  return [
    { text: id },
    { text: printable(name) },
    { text: role },
    { text: repos.length === 0 ? 'all repositories' : repos.map(printable).join(',') },
    { text: ended ?? `until ${formatInstant(expiresAt).slice(0, 10)}`, style: ended ? 'gray' : undefined },
    { text: lastUsedAt === undefined ? 'never used' : `used ${formatRelative(lastUsedAt, now)}`, style: 'gray' },
  ];
}

/** @throws CroftError `invalid` */
export function parseTime(text: string, { maxDays = 366 } = {}): number {
  const [, count, unit] = /^(\d{1,4})([hd])$/.exec(text) ?? [];
  const ms = Number(count) * (unit === 'h' ? HOUR : DAY);
  if (count === undefined || ms <= 0 || ms > maxDays * DAY)
    throw new CroftError('invalid', `--expires ${JSON.stringify(text)} is not a time like 12h or 90d, up to ${maxDays}d`);
  return ms;
}
