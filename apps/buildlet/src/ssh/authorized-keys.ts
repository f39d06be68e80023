/**
 * Lets a key in at the machine's SSH server. On Unix it is the user who writes the file, not this process: whatever stands in that user's
 * home directory, a link to somebody else's file perhaps, gives nobody more than they have. buildlet.md 1.12.
 */
import { spawn } from 'node:child_process';
import { chown, mkdir, readFile, stat } from 'node:fs/promises';
import { appendFile } from 'node:fs/promises';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { join } from 'node:path';
import type { Clock } from '@croft/runtime/clock';
import { CroftError, systemCode } from '@croft/runtime/errors';

export interface Account {
  readonly home: string;
  readonly uid: number;
  readonly gid: number;
}

export type FindAccount = (user: string) => Promise<Account | undefined>;

const userPattern = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$/;
/** Without options: what a key may do is the operator's to say. */
const keyPattern = /^(?:ssh|ecdsa|sk)-[a-zA-Z0-9@.-]{1,100} [A-Za-z0-9+/]{4,12000}={0,3}(?: [^\u0000-\u001f\u007f]{0,500})?$/;
const installMs = 10_000;

/** `$1` home, `$2` key. Nothing is added twice, and nothing behind a line that has no end. */
const script = `set -eu
umask 077
cd "$1"
mkdir -p .ssh
chmod 700 .ssh
cd .ssh
if [ -e authorized_keys ]; then
  [ -f authorized_keys ] || { echo "authorized_keys is no file" >&2; exit 1; }
  if grep -qF -e "$2" authorized_keys; then exit 0; fi
  if [ -n "$(tail -c 1 authorized_keys)" ]; then echo >> authorized_keys; fi
fi
printf '%s\\n' "$2" >> authorized_keys
`;

/** @throws CroftError `invalid` for a name or a key that is none, `not-found` without such a user, `forbidden` for another user's key */
export async function installKey(
  user: string,
  key: string,
  { find = findAccount, clock }: { find?: FindAccount; clock: Clock },
): Promise<void> {
  if (!userPattern.test(user)) throw new CroftError('invalid', 'that is not the name of a user');
  if (!keyPattern.test(key)) throw new CroftError('invalid', 'that is not one line with a public key');
  if (process.platform === 'win32') return installOnWindows(join('C:\\Users', user), key);
  const account = await find(user);
  if (!account) throw new CroftError('not-found', `there is no user ${user} on this machine`);
  const own = process.getuid?.();
  if (own !== 0 && own !== account.uid) throw new CroftError('forbidden', `this buildlet may write no keys of ${user}`);
  if (own === 0) await ensureHome(account);
  await writeAs(account, key, clock);
}

/** As the system has them; where it keeps its users elsewhere (a directory service, macOS), whoever owns the home directory. */
export async function findAccount(user: string, passwdFile = '/etc/passwd'): Promise<Account | undefined> {
  const entries = (await readFile(passwdFile, 'utf8').catch(() => '')).split('\n').map((line) => line.split(':'));
  const entry = entries.find(([name]) => name === user);
  const [uid, gid, home] = [entry?.[2], entry?.[3], entry?.[5]];
  if (/^\d+$/.test(uid ?? '') && /^\d+$/.test(gid ?? '') && home?.startsWith('/')) return { home, uid: Number(uid), gid: Number(gid) };
  for (const place of usualHomes(user)) {
    const found = await stat(place).catch(() => undefined);
    if (found?.isDirectory()) return { home: place, uid: found.uid, gid: found.gid };
  }
  return undefined;
}

function usualHomes(user: string): string[] {
  if (process.platform === 'darwin') return [`/Users/${user}`];
  if (user === 'root') return ['/root'];
  return process.platform === 'freebsd' ? [`/usr/home/${user}`, `/home/${user}`] : [`/home/${user}`];
}

async function ensureHome({ home, uid, gid }: Account): Promise<void> {
  try {
    await mkdir(home, { mode: 0o700 });
    await chown(home, uid, gid);
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error;
  }
}

async function writeAs({ home, uid, gid }: Account, key: string, clock: Clock): Promise<void> {
  const child = spawn('/bin/sh', ['-c', script, 'sh', home, key], {
    ...(process.getuid?.() === 0 ? { uid, gid } : {}),
    cwd: '/',
    env: { PATH: '/usr/bin:/bin:/usr/sbin:/sbin' },
    stdio: ['ignore', 'ignore', 'pipe'],
    signal: clock.deadline(installMs),
    killSignal: 'SIGKILL',
  });
  const [complaint, [code]] = await Promise.all([text(child.stderr), once(child, 'close') as Promise<[number | null]>]);
  if (code !== 0) throw new CroftError('internal', `write authorized_keys in ${home}: ${complaint.trim().slice(0, 500) || `exit ${code}`}`);
}

async function installOnWindows(home: string, key: string): Promise<void> {
  const dir = join(home, '.ssh');
  const path = join(dir, 'authorized_keys');
  await mkdir(dir, { recursive: true });
  const present = await readFile(path, 'utf8').catch(() => '');
  if (present.includes(key)) return;
  await appendFile(path, `${present === '' || present.endsWith('\n') ? '' : '\n'}${key}\n`);
  const child = spawn('icacls', [path, '/grant', 'NT SERVICE\\sshd:(R)'], { stdio: 'ignore' });
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new CroftError('internal', `let the SSH server read ${path}: icacls ended with ${code}`);
}
