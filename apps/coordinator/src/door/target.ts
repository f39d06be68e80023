/** What an SSH user name asks for. It says where somebody wants to go, never who they are (gomote-ssh.md KEY-2). */
import type { BuildId } from '@croft/domain/names';
import { CroftError } from '@croft/runtime/errors';
import { sessionNamePattern } from '@croft/protocol/sessions';

export interface Target {
  readonly place: { readonly kind: 'session'; readonly name: string } | { readonly kind: 'build'; readonly build: BuildId };
  /** `again`: the shell that this person has lost, where there is one. */
  readonly attach: { readonly kind: 'again' } | { readonly kind: 'new' } | { readonly kind: 'run'; readonly name: string };
}

const sessionName = new RegExp(sessionNamePattern);
const buildName = /^build-(B[0-9a-f]{16})$/;
const runName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

/** `INST`, `INST+new` or `INST+RUN`. @throws CroftError `invalid` for what nothing here can be called */
export function parseTarget(user: string): Target {
  const plus = user.indexOf('+');
  const name = plus < 0 ? user : user.slice(0, plus);
  const after = plus < 0 ? undefined : user.slice(plus + 1);
  if (!sessionName.test(name)) throw new CroftError('invalid', `nothing here is called ${JSON.stringify(name.slice(0, 100))}`);
  if (after !== undefined && !runName.test(after)) throw new CroftError('invalid', 'what follows "+" is "new" or the name of a run');
  const build = buildName.exec(name)?.[1];
  return {
    place: build === undefined ? { kind: 'session', name } : { kind: 'build', build: build as BuildId },
    attach: after === undefined ? { kind: 'again' } : after === 'new' ? { kind: 'new' } : { kind: 'run', name: after },
  };
}
