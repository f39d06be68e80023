/** The names of users and groups by number, as the system's files have them. */
import { readFileSync } from 'node:fs';
import type { TarOwner } from '@croft/streams/tar-pack';

export interface Accounts {
  /** Names are empty for a number that has none. */
  ownerOf(uid: number, gid: number): TarOwner;
}

const maxBytes = 1024 * 1024;

/** Read anew for each archive: the files are small and may change. */
export function readAccounts(): Accounts {
  const users = namesIn('/etc/passwd');
  const groups = namesIn('/etc/group');
  return { ownerOf: (uid, gid) => ({ uid, gid, uname: users.get(uid) ?? '', gname: groups.get(gid) ?? '' }) };
}

/** Of lines `name:password:number:…` the first with a number counts. */
function namesIn(file: string): Map<number, string> {
  const names = new Map<number, string>();
  for (const line of textOf(file).slice(0, maxBytes).split('\n')) {
    const [name, , number] = line.split(':');
    if (name && number && /^\d{1,10}$/.test(number) && !names.has(Number(number))) names.set(Number(number), name);
  }
  return names;
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return ''; // a system that keeps them elsewhere
  }
}
