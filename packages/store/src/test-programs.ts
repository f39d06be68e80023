/** The programs of PostgreSQL as npm installed them, made ready for whoever runs them. */
import { cpSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** The server refuses to run as root; `nobody` owns nothing else worth having. */
export const nobody = 65_534;
export const superuser = process.getuid?.() === 0;

/** A copy where `nobody` may not reach the packages, such as below /root; else the packages themselves, with their links made. */
export function readable(packaged: string, directory: string): string {
  const place = superuser && !everybodyMayEnter(packaged) ? join(directory, 'postgres') : packaged;
  if (place !== packaged) cpSync(packaged, place, { recursive: true });
  // npm does not run the install script that makes these.
  const links = JSON.parse(readFileSync(join(place, 'pg-symlinks.json'), 'utf8')) as { source: string; target: string }[];
  for (const { source, target } of links) {
    const link = join(dirname(place), target.replace(/^native\//, `${basename(place)}/`));
    if (!existsSync(link)) makeLink(basename(source), link);
  }
  return place;
}

function makeLink(target: string, link: string): void {
  mkdirSync(dirname(link), { recursive: true });
  try {
    symlinkSync(target, link);
  } catch (error) {
    if (!existsSync(link)) throw error; // else another test process was first
  }
}

function everybodyMayEnter(path: string): boolean {
  for (let at = path; at !== dirname(at); at = dirname(at)) {
    if ((statSync(at).mode & 0o001) === 0) return false;
  }
  return true;
}
