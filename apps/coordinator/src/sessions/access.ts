/** Who may do what with a session: pure. A name decides nothing but equality with the owner's or with one it is shared with. */
import { CroftError } from '@croft/runtime/errors';
import type { Session } from '@croft/store/sessions';
import { hasRole } from '@croft/web/identity';
import type { Person } from './sessions.ts';

type Held = Pick<Session, 'owner' | 'sharedWith' | 'repos' | 'from'>;

/** All who may read, as far as they may see its repositories. */
export function maySee(who: Person, { repos }: Pick<Held, 'repos'>): boolean {
  return who.repos.length === 0 || repos.every((repo) => who.repos.includes(repo));
}

/** Owners, those it is shared with and, where nobody asked for it, whoever builds. Not operators: what lies there is not theirs. */
export function mayUse(who: Person, session: Held): boolean {
  if (!hasRole(who, 'developer') || !maySee(who, session)) return false;
  if (session.from.kind === 'held' && session.from.policy === true) return true;
  return session.owner === who.name || session.sharedWith.includes(who.name);
}

export function mayEnd(who: Person, session: Held): boolean {
  return mayUse(who, session) || (hasRole(who, 'operator') && maySee(who, session));
}

/** @throws CroftError `forbidden` */
export function refuse(who: Person, { alias, owner }: Pick<Session, 'alias' | 'owner'>): never {
  throw new CroftError('forbidden', `session ${alias} belongs to ${owner}, and is not shared with ${who.name}`, {
    hint: `Ask ${owner} to share it: gomote share ${alias} ${who.name}`,
  });
}
