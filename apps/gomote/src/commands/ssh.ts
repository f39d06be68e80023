/**
 * `gomote ssh`: the stock OpenSSH client, let in by a certificate that the coordinator signs for some minutes (gomote-ssh.md 8.3). Where the door is
 * and by which keys it is known, it tells.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Command } from 'commander';
import { CroftError, errorText, systemCode } from '@croft/runtime/errors';
import { configHome } from '@croft/cli/connect';
import { exitCodes } from '@croft/cli/exit-codes';
import type { Cli, Run } from '@croft/cli/program';
import type { SessionView } from '@croft/protocol/sessions';
import { chooseOne } from '../instances.ts';
import { ownFailure } from '../own-failure.ts';
import { openWorld, type GomoteOptions, type World } from '../world.ts';

interface SshOptions extends GomoteOptions {
  readonly i?: string;
  readonly config?: boolean;
}

export function addSsh(program: Command, cli: Cli, run: Run): void {
  program
    .command('ssh [words...]')
    .usage('[options] [instance] [words of ssh...]')
    .option('-i <key>', 'with this key of yours, which the farm knows, instead of a certificate')
    .option('--config', 'print what other programs need as a configuration of ssh, instead')
    .option('--i-will-not-break-the-host', 'taken for the sake of Go’s tools; changes nothing')
    .passThroughOptions()
    .addHelpText('after', help)
    .action((words: string[], _, command: Command) => run(() => ssh(words, command.optsWithGlobals(), cli), ownFailure));
}

const help = `
  gomote ssh ann-linux-0
  gomote ssh ann-linux-0 'make test; exit 7'          # exit status 7
  gomote ssh ann-linux-0 -L 8080:localhost:8080 -N    # options of ssh
  gomote ssh -config ann-linux-0 > c && rsync -e 'ssh -F c' -a . ann-linux-0:src/

Behind the instance stand words of ssh: options, then a command. A certificate lets you in for some minutes; who is in stays in.
Exit status: that of ssh; 125 when gomote itself failed.`;

async function ssh(words: readonly string[], { i: key, config, ...given }: SshOptions, cli: Cli): Promise<number> {
  const world = await openWorld(given, cli);
  const { session, rest } = await chooseOne(words, world);
  const door = await openDoor(session, key, world);
  const options = Object.entries(door.settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  const [ofSsh, command] = splitWords(rest);
  const argv = ['ssh', ...options, ...ofSsh, door.host, ...command];
  if (world.json) await cli.stdout.write(`${JSON.stringify({ instance: session.alias, argv })}\n`);
  else if (config) await cli.stdout.write(configText(session.alias, door));
  if (world.json || config) return exitCodes.ok;
  await cli.stderr.write(`# ${argv.join(' ')}\n`);
  return runStock(argv, cli);
}

interface Door {
  readonly host: string;
  /** Of `ssh_config`. */
  readonly settings: Readonly<Record<string, string>>;
}

/** The session's id is its user name there: an alias may be given again. */
async function openDoor(session: SessionView, key: string | undefined, { client, cli }: World): Promise<Door> {
  const dir = await ownDirectory(cli);
  const { host, port, knownHosts } = await client.call('ssh.get');
  const hosts = join(dir, 'known_hosts');
  await writeFile(hosts, `${knownHosts.trimEnd()}\n`, { mode: 0o600 });
  const place = { User: session.id, Port: String(port), UserKnownHostsFile: hosts, StrictHostKeyChecking: 'yes' };
  if (key !== undefined) return { host, settings: { ...place, IdentityFile: key } };
  const identity = join(dir, 'id_ed25519');
  const publicKey = await publicKeyOf(identity);
  const { certificate } = await client.call('session.certificate', { params: { session: session.id }, body: { publicKey } });
  const certificateFile = join(dir, `${session.id}-cert.pub`);
  await writeFile(certificateFile, `${certificate.trimEnd()}\n`, { mode: 0o600 });
  return { host, settings: { ...place, IdentityFile: identity, IdentitiesOnly: 'yes', CertificateFile: certificateFile } };
}

async function ownDirectory({ env }: Cli): Promise<string> {
  const home = configHome(env);
  if (home === undefined) throw new CroftError('invalid', 'there is no home directory for keys', { hint: 'Set HOME, or give -i KEY.' });
  const dir = join(home, 'gomote', '.ssh');
  await mkdir(dir, { recursive: true, mode: 0o700 });
  return dir;
}

/** Of a key pair that is made when there is none. @throws CroftError `unavailable` without ssh-keygen */
async function publicKeyOf(identity: string): Promise<string> {
  const file = `${identity}.pub`;
  const found = await readFile(file, 'utf8').catch(() => undefined);
  if (found !== undefined) return found.trim();
  try {
    await promisify(execFile)('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'gomote', '-f', identity]);
  } catch (error) {
    throw new CroftError('unavailable', `making a key with ssh-keygen: ${errorText(error)}`, {
      cause: error,
      hint: 'Install OpenSSH’s client.',
    });
  }
  return (await readFile(file, 'utf8')).trim();
}

/** Options of ssh that take a value of their own. */
const valued = /^-[BbcDEeFIiJLlmOoPpQRSWw]$/;

/** What stands before the host, and what behind it. */
function splitWords(words: readonly string[]): [string[], string[]] {
  let at = 0;
  while (at < words.length && words[at]?.startsWith('-') && words[at] !== '--') at += valued.test(words[at] ?? '') ? 2 : 1;
  const command = words.slice(at);
  return [words.slice(0, at), command[0] === '--' ? command.slice(1) : command];
}

function configText(alias: string, { host, settings }: Door): string {
  const lines = Object.entries({ HostName: host, ...settings }).map(
    ([name, value]) => `  ${name} ${/\s/.test(value) ? `"${value}"` : value}\n`,
  );
  return `Host ${alias}\n${lines.join('')}`;
}

/** It has the terminal, and Ctrl-C is its own. */
async function runStock([program = '', ...args]: readonly string[], { interruption }: Cli): Promise<number> {
  using _ = interruption();
  const child = spawn(program, args, { stdio: 'inherit' });
  try {
    const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
    return code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
  } catch (error) {
    const hint = systemCode(error) === 'ENOENT' ? 'Install OpenSSH’s client.' : undefined;
    throw new CroftError('unavailable', `starting ${program}: ${errorText(error)}`, { cause: error, hint });
  }
}
