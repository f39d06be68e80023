/** `gomote login`: remembers a farm and who you are there, for every command of ours. */
import type { Command } from 'commander';
import { text } from 'node:stream/consumers';
import { Readable } from 'node:stream';
import { connect, rememberLogin } from '@croft/cli/connect';
import type { Cli, GlobalOptions, Run } from '@croft/cli/program';
import { printable } from '@croft/cli/terminal';
import { CroftError, isCode } from '@croft/runtime/errors';

export function addLogin(program: Command, cli: Cli, run: Run): void {
  program
    .command('login <url>')
    .addHelpText('after', help)
    .action((url: string, _, command: Command) => run(() => login(url, command.optsWithGlobals(), cli)));
}

const help = `
  gomote login https://farm.example < token
  croft token create --name ann --role developer   # who may make tokens makes one

The token is CROFT_TOKEN, else read from standard input, up to its end, or typed at a terminal, which does not show it.
It is kept in ~/.config/croft/login.json, readable by you alone, and shown to that farm only. An empty one forgets who you are and keeps the address.`;

async function login(url: string, given: GlobalOptions, cli: Cli): Promise<void> {
  const token = given.token ?? cli.env['CROFT_TOKEN'] ?? (await readToken(url, cli));
  if (token !== '' && !/^[\x21-\x7e]{1,500}$/.test(token)) throw new CroftError('invalid', 'what was read is not a token');
  const client = await connect({ server: url, token }, cli);
  const who = await client.call('me.get').catch((error: unknown) => {
    if (token === '' && isCode(error, 'unauthenticated')) return undefined;
    throw error;
  });
  const path = await rememberLogin({ server: client.server, ...(token === '' ? {} : { token }) }, cli.env);
  if (given.json) await cli.stdout.write(`${JSON.stringify({ server: client.server, ...who })}\n`);
  else await cli.stderr.write(`${who ? printable(who.name) : 'nobody'} at ${client.server}, kept in ${path}\n`);
}

async function readToken(url: string, { stdin, stderr }: Cli): Promise<string> {
  if (!stdin.isTerminal) return (await text(Readable.from(stdin))).trim();
  const prompt = `# waiting for a token of ${printable(url)}: paste it and press Enter, it is not shown; Enter alone forgets who you are\n`;
  const [typed] = await Promise.all([stdin.secret(), stderr.write(prompt)]);
  return typed.trim();
}
