/** What each JSON operation of the SSH door does. */
import type { SshOperationName } from '@croft/protocol/operations';
import { CroftError } from '@croft/runtime/errors';
import type { SshAccess } from '../door/access.ts';
import type { People } from '../door/people.ts';
import type { Handlers } from './perform.ts';

export interface SshHandlerDeps {
  readonly people: Pick<People, 'keysOf' | 'add' | 'remove'>;
  readonly ssh?: SshAccess | undefined;
}

export function sshHandlers({ people, ssh }: SshHandlerDeps): Pick<Handlers, SshOperationName> {
  const door = (): SshAccess => {
    if (ssh) return ssh;
    throw new CroftError('not-found', 'this farm has no SSH door', { hint: 'Its operator opens one with `ssh` in the configuration.' });
  };
  return {
    'ssh.get': async () => door().view,
    'ssh-key.list': async ({ who }) => ({ keys: await people.keysOf(who.name) }),
    'ssh-key.add': ({ body, who }) => people.add(who.name, body),
    'ssh-key.remove': ({ params, who }) => people.remove(who.name, params.sshKey),
    'session.certificate': async ({ params, body, who, capabilities }) =>
      door().certify(who, await capabilities.sessions.get(who, params.session), body.publicKey),
  };
}
