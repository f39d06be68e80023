/** OpenSSH's own server on this machine, for root alone. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const sshd = '/usr/sbin/sshd';
/** Why there is none. */
export const withoutSshd = existsSync(sshd) ? userInfo().uid !== 0 && 'sshd is started by root alone' : `there is no ${sshd}`;

/** @param authorizedKeys file of the keys that it lets in as root */
export async function startSshd(port: number, authorizedKeys: string): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const { path: dir } = stack.use(await mkdtempDisposable(join(tmpdir(), 'croft-sshd-')));
  await mkdir('/run/sshd', { recursive: true }); // it wants that, whatever its settings
  await promisify(execFile)('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(dir, 'host')]);
  const settings = [
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    `HostKey ${dir}/host`,
    `AuthorizedKeysFile ${authorizedKeys}`,
    'StrictModes no',
    'UsePAM no',
    'PidFile none',
    'PermitRootLogin yes',
    'Subsystem sftp internal-sftp',
    'AcceptEnv none',
  ];
  await writeFile(join(dir, 'config'), `${settings.join('\n')}\n`);
  const child = spawn(sshd, ['-D', '-e', '-f', join(dir, 'config')], { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = once(child, 'close');
  stack.defer(async () => void (child.kill('SIGTERM'), await ended));
  await once(child.stderr, 'data'); // where it listens
  child.stderr.resume();
  const owned = stack.move();
  return { [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
