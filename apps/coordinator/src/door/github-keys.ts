/** The public keys of people at GitHub, for those whom the configuration names: their own answer, kept for a while. */
import { HOUR, MINUTE, SECOND, type Clock } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import { parseKeyLine, type PublicKey } from './public-key.ts';

export interface GithubKeys {
  /** Whether the configuration says that somebody of this name is at GitHub. */
  isNamed(person: string): boolean;
  /** Those of the configured people whose key it is; whoever cannot be asked about has none. */
  withKey(key: PublicKey): Promise<string[]>;
}

export interface GithubDeps {
  /** Logins at GitHub by person, as they are configured now. */
  readonly logins: () => Readonly<Record<string, string>>;
  readonly clock: Clock;
  readonly log: Log;
  /** For tests. */
  readonly origin?: string | undefined;
}

interface Answer {
  readonly at: number;
  readonly blobs: ReadonlySet<string>;
}

const askMs = 5 * SECOND;
const freshMs = 5 * MINUTE;
/** An answer counts for this long while there is no newer one to be had. */
const staleMs = HOUR;
/** After a failure GitHub is left alone for this long. */
const pauseMs = 15 * SECOND;
const maxAnswerBytes = 256 * 1024;
const loginPattern = /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,37}[A-Za-z0-9])?$/;

export function createGithubKeys({ logins, clock, log, origin = 'https://github.com' }: GithubDeps): GithubKeys {
  const answers = new Map<string, Answer>();
  const failed = new Map<string, number>();
  const asking = new Map<string, Promise<void>>();
  const ask = async (login: string): Promise<void> => {
    try {
      answers.set(login, { at: clock.monotonic(), blobs: await fetchKeys(`${origin}/${login}.keys`, clock) });
      failed.delete(login);
    } catch (error) {
      failed.set(login, clock.monotonic());
      log.warn('keys from GitHub not read', { login, error });
    }
  };
  const keysOf = async (login: string): Promise<ReadonlySet<string> | undefined> => {
    const age = (at: number | undefined): number => (at === undefined ? Infinity : clock.monotonic() - at);
    if (age(answers.get(login)?.at) >= freshMs && age(failed.get(login)) >= pauseMs) {
      const asked = asking.get(login) ?? ask(login).finally(() => asking.delete(login));
      asking.set(login, asked);
      await asked;
    }
    const answer = answers.get(login);
    return age(answer?.at) < staleMs ? answer?.blobs : undefined;
  };
  return {
    isNamed: (person) => Object.hasOwn(logins(), person),
    async withKey(key) {
      const blob = key.blob.toString('base64');
      const people = Object.entries(logins()).filter(([, login]) => loginPattern.test(login));
      const found = await Promise.all(people.map(async ([person, login]) => ((await keysOf(login))?.has(blob) ? person : undefined)));
      return found.filter((person) => person !== undefined);
    },
  };
}

/** The keys that can be used here; other kinds are left out. @throws whatever goes wrong */
async function fetchKeys(url: string, clock: Clock): Promise<ReadonlySet<string>> {
  const response = await fetch(url, { signal: clock.deadline(askMs), redirect: 'error', headers: { accept: 'text/plain' } });
  if (response.status === 404) return new Set();
  if (!response.ok) throw new CroftError('unavailable', `${url} answered ${response.status}`);
  let size = 0;
  const pieces: Uint8Array[] = [];
  for await (const piece of response.body ?? []) {
    size += piece.length;
    if (size > maxAnswerBytes) throw new CroftError('unavailable', `${url} answered with more than ${maxAnswerBytes} bytes`);
    pieces.push(piece);
  }
  const lines = Buffer.concat(pieces).toString('utf8').split('\n');
  return new Set(lines.flatMap(blobOf));
}

function blobOf(line: string): string[] {
  try {
    return [parseKeyLine(line).key.blob.toString('base64')];
  } catch {
    return [];
  }
}
