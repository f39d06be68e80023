/** What the door says to people: lines that begin with `# `, as the originals' (gomote-ssh.md 8.4), and are true. */
import { CroftError } from '@croft/runtime/errors';
import { MINUTE } from '@croft/runtime/clock';
import type { Visit } from './visit.ts';

/** For standard error, or a terminal. */
export function note(text: string): Buffer {
  const lines = text.split('\n').map((line) => `# ${printableLine(line)}\r\n`);
  return Buffer.from(lines.join(''));
}

/** Why somebody cannot have what they asked for. Bugs say nothing of themselves. */
export function refusal(error: unknown): Buffer {
  if (!(error instanceof CroftError) || error.code === 'internal') return note('something is wrong with this farm; its log tells what');
  return note(error.hint === undefined ? error.message : `${error.message}\n${error.hint}`);
}

/** Where somebody is who begins a shell, or comes back to one. */
export function welcome({ session, ground, person }: Visit, { again, now }: { readonly again: boolean; readonly now: number }): Buffer {
  const lines = [
    session
      ? `Welcome, ${person.name}. This is ${session.alias} (${session.id})${session.machine === undefined ? '' : ` on ${session.machine}`}.`
      : `Welcome, ${person.name}. This is the machine of a build that runs:\n  what you change may change its end.`,
    `  work directory: ${ground.workDir}`,
    ...(session ? expiryLines(session, now) : []),
    ...(again ? ['  You are back in the shell that was lost; another one: USER+new as user name.'] : []),
  ];
  return Buffer.concat([note(lines.join('\n')), Buffer.from('#\r\n')]);
}

function expiryLines({ expiresAt, latestAt }: NonNullable<Visit['session']>, now: number): string[] {
  if (expiresAt === undefined) return [];
  const latest =
    latestAt === undefined ? [] : [`  At the latest it ends at ${new Date(latestAt).toISOString().slice(0, 16).replace('T', ' ')} UTC.`];
  return [`  It ends when nobody has used it for ${minutes(expiresAt - now)}.`, ...latest];
}

function minutes(ms: number): string {
  const count = Math.max(1, Math.round(ms / MINUTE));
  return count === 1 ? 'a minute' : `${count} minutes`;
}

function printableLine(line: string): string {
  return line.replaceAll(/[^\P{Cc}\t]/gu, '?');
}
