/**
 * Who one is to the v1 protocol of Go's gomote: HTTP Basic as `user-NAME` (gomote-ssh.md 5.1). The password is a token of this farm, or,
 * where the operator accepts Go's keys, the key that is made from the master key for `user-NAME`.
 */
import type { Clock } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import type { Attempts } from '@croft/web/attempts';
import { checkToken, type Identity, type TokenBook } from '@croft/web/identity';
import type { BuilderKeys } from '../originals/builder-keys.ts';
import { TextAnswer } from './text-answer.ts';

export interface PeopleDeps {
  readonly tokens: TokenBook;
  /** Undefined where Go's keys are not accepted. */
  readonly keys: Pick<BuilderKeys, 'check'> | undefined;
  /** Wrong passwords, by where they come from. */
  readonly attempts: Attempts;
  readonly clock: Clock;
}

export interface V1Person {
  readonly who: Identity;
  /** As it signs in: `user-ann`. */
  readonly user: string;
}

/** @throws TextAnswer in Go's words, never with a password */
export async function personOf(authorization: string | null, from: string, deps: PeopleDeps): Promise<V1Person> {
  const given = basicIn(authorization);
  if (!given) throw new TextAnswer(400, 'missing required authentication');
  const who = await whoHas(given, from, deps);
  if (who) return { who, user: given.user };
  throw new TextAnswer(401, 'bad username or password');
}

async function whoHas({ user, password }: Given, from: string, deps: PeopleDeps): Promise<Identity | undefined> {
  const [, name] = /^user-([A-Za-z0-9_][A-Za-z0-9._@+-]{0,99})$/.exec(user) ?? [];
  try {
    if (name !== undefined && password.startsWith('croft_')) return personWith(await checkToken(password, { ...deps, from }));
    if (name !== undefined && deps.keys?.check(password, user) === 'builder') return { name, role: 'developer', repos: [], via: 'token' };
    deps.attempts.check(from);
    deps.attempts.failed(from);
  } catch (error) {
    if (isCode(error, 'exhausted')) throw new TextAnswer(429, error.message);
    if (!isCode(error, 'unauthenticated')) throw error;
  }
  return undefined;
}

function personWith({ id, name, role, repos }: Awaited<ReturnType<typeof checkToken>>): Identity {
  return { name, role, repos, via: 'token', tokenId: id };
}

interface Given {
  readonly user: string;
  readonly password: string;
}

function basicIn(authorization: string | null): Given | undefined {
  const [, encoded] = /^Basic +([A-Za-z0-9+/=]+) *$/i.exec(authorization ?? '') ?? [];
  const [, user, password] = /^([^:]*):(.*)$/s.exec(Buffer.from(encoded ?? '', 'base64').toString('utf8')) ?? [];
  return user === undefined || password === undefined ? undefined : { user, password };
}
