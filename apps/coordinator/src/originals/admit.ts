/**
 * Who may change something through the originals' addresses: whoever shows a builder key, where those are accepted, or somebody
 * whom this farm knows. A request with a key is carried out for that key alone, never for the user behind the connection.
 */
import { CroftError, errorText } from '@croft/runtime/errors';
import type { RoleName } from '@croft/protocol/api';
import type { Attempts } from '@croft/web/attempts';
import { requireRole, type Identity } from '@croft/web/identity';
import type { Audit } from '../auth/audit.ts';
import type { BuilderKeys } from './builder-keys.ts';

export interface AdmitDeps {
  /** Undefined where builder keys are not accepted. */
  readonly keys: BuilderKeys | undefined;
  readonly audit: Pick<Audit, 'asked' | 'refused'>;
  /** Wrong keys, by where they come from. */
  readonly attempts: Attempts;
}

export interface Asking {
  /** What is to be done, as the audit trail names it. */
  readonly what: string;
  readonly target: string;
  readonly from: string;
  readonly key: string | undefined;
  readonly builder: string;
  readonly who: Identity;
  /** The least role that may do it without a key. */
  readonly role: RoleName;
  /** A builder's own key does not do. */
  readonly masterOnly?: boolean;
}

export interface Admitted {
  readonly name: string;
  /** The only builder that this caller may speak for; undefined means any. */
  readonly builder: string | undefined;
}

/** The function throws CroftError `unauthenticated`, `forbidden`, `exhausted`; never does a message repeat a key. */
export function createAdmit({ keys, audit, attempts }: AdmitDeps): (asking: Asking) => Promise<Admitted> {
  const decide = ({ key, builder, from, who, role, masterOnly = false }: Asking): Admitted => {
    if (key === undefined) {
      requireRole(who, role);
      return { name: who.tokenId === undefined ? who.name : `${who.name} (${who.tokenId})`, builder: undefined };
    }
    if (!keys)
      throw new CroftError('unauthenticated', 'builder keys are not accepted by this farm', {
        hint: 'The operator can set compat.goBuilderKeys.',
      });
    const right = keys.check(key, builder);
    if (right === 'master') return { name: 'builder master key', builder: undefined };
    if (right === 'builder' && !masterOnly) return { name: `builder key of ${builder.slice(0, 100)}`, builder };
    attempts.check(from);
    attempts.failed(from);
    if (right === 'builder') throw new CroftError('forbidden', 'this needs the master key; a builder’s own key does not do');
    throw new CroftError('unauthenticated', `invalid key for builder ${JSON.stringify(builder.slice(0, 100))}`);
  };
  return async (asking) => {
    const { what, target, from, who, key } = asking;
    const entry = { what, target: target.slice(0, 200), from };
    try {
      const admitted = decide(asking);
      await audit.asked({ ...entry, who: admitted.name });
      return admitted;
    } catch (error) {
      if (error instanceof CroftError)
        await audit.refused({ ...entry, who: key === undefined ? who.name : 'unknown builder' }, errorText(error));
      throw error;
    }
  };
}
