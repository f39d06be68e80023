/** Secrets while something runs that needs them: given to steps by name, and kept out of every log. */
import type { Secret } from '@croft/runtime/config';
import { CroftError } from '@croft/runtime/errors';
import { createMasker, type Masker, type MaskStream } from '@croft/streams/mask';
import type { Secrets } from './secrets.ts';

export interface SecretKeeper {
  /** Variables with their values, from variables with names of secrets. @throws CroftError `not-found` */
  variables(wanted: Readonly<Record<string, string>>): Record<string, string>;
  /** Over every secret there is or was: what runs may still know an older one. */
  mask(): MaskStream;
  /** A text without them. */
  clean(text: string): string;
  get(name: string): Secret | undefined;
  replace(secrets: Secrets): void;
}

/** Older values that are still blanked out. */
const mostOld = 1_000;

export function keepSecrets(first: Secrets): SecretKeeper {
  let secrets: Secrets;
  let masker: Masker;
  let known: string[] = [];
  const replace = (next: Secrets): void => {
    const values = [...next.values()].map((secret) => secret.reveal());
    const old = known.filter((value) => !values.includes(value)).slice(-mostOld);
    known = [...old, ...new Set(values)];
    secrets = next;
    masker = createMasker(known);
  };
  replace(first);
  return {
    variables: (wanted) => Object.fromEntries(Object.entries(wanted).map(([variable, name]) => [variable, valueOf(secrets, name)])),
    mask: () => masker(),
    clean(text) {
      const stream = masker();
      return Buffer.concat([stream.push(Buffer.from(text)), stream.end()]).toString();
    },
    get: (name) => secrets.get(name),
    replace,
  };
}

function valueOf(secrets: Secrets, name: string): string {
  const secret = secrets.get(name);
  if (!secret) throw new CroftError('not-found', `the secret "${name}" that a step needs is not configured any more`);
  return secret.reveal();
}
