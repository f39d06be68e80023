/** A line of `ls -l`, which clients show as it is. */
import type { BigIntStats } from 'node:fs';
import { goModeText } from '@croft/streams/go-mode';
import type { Accounts } from '../files/accounts.ts';

export interface Shown {
  readonly name: Buffer;
  readonly stats: BigIntStats;
  readonly accounts: Accounts;
  readonly nowMs: number;
}

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const halfYearMs = 182 * 24 * 60 * 60 * 1_000;
const kinds: Readonly<Record<number, string>> = { 0o140: 's', 0o120: 'l', 0o100: '-', 0o060: 'b', 0o040: 'd', 0o020: 'c', 0o010: 'p' };
const kindBits = 0o170000;

export function longName({ name, stats, accounts, nowMs }: Shown): Buffer {
  const { uname, gname } = accounts.ownerOf(Number(stats.uid), Number(stats.gid));
  const owner = (uname || String(stats.uid)).padEnd(8);
  const group = (gname || String(stats.gid)).padEnd(8);
  const line = `${modeText(Number(stats.mode))} ${String(stats.nlink).padStart(4)} ${owner} ${group} ${String(stats.size).padStart(8)}`;
  return Buffer.concat([Buffer.from(`${line} ${timeText(Number(stats.mtimeMs), nowMs)} `), name]);
}

function modeText(mode: number): string {
  const kind = kinds[(mode & kindBits) >> 9] ?? '?';
  const bits = goModeText(mode & 0o777).slice(-9);
  const special = [
    [0o4000, 2, 's'],
    [0o2000, 5, 's'],
    [0o1000, 8, 't'],
  ] as const;
  return special.reduce((text, [bit, at, letter]) => {
    if (!(mode & bit)) return text;
    const shown = text[at + 1] === 'x' ? letter : letter.toUpperCase();
    return text.slice(0, at + 1) + shown + text.slice(at + 2);
  }, kind + bits);
}

/** In the machine's time; of what is long ago the year. */
function timeText(ms: number, nowMs: number): string {
  const time = new Date(Math.min(Math.max(ms, -8.64e15), 8.64e15));
  const two = (value: number): string => String(value).padStart(2, '0');
  const recent = ms <= nowMs && nowMs - ms < halfYearMs;
  const last = recent ? `${two(time.getHours())}:${two(time.getMinutes())}` : String(time.getFullYear()).padStart(5);
  return `${months[time.getMonth()]} ${String(time.getDate()).padStart(2)} ${last}`;
}
