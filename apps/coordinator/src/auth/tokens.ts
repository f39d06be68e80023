/** Tokens: made here, shown once, kept as hashes. */
import type { TokenView } from '@croft/protocol/tokens';
import type { BodyOf } from '@croft/protocol/operations';
import type { Clock } from '@croft/runtime/clock';
import { sha256Hex } from '@croft/runtime/digest';
import { CroftError } from '@croft/runtime/errors';
import type { Random } from '@croft/runtime/random';
import type { Database } from '@croft/store/database';
import { insertToken, listTokens, revokeToken, tokenByHash, touchToken, type Token } from '@croft/store/tokens';
import type { KnownToken, TokenBook } from '@croft/web/identity';

export interface Tokens extends TokenBook {
  /** The secret is in the answer and nowhere else. */
  create(request: BodyOf<'token.create'>): Promise<TokenView & { secret: string }>;
  list(): Promise<TokenView[]>;
  /** Revoking again is no change. @throws CroftError `not-found` */
  revoke(id: string): Promise<TokenView>;
}

export interface TokensDeps {
  readonly database: Pick<Database, 'read' | 'write'>;
  readonly clock: Clock;
  readonly random: Random;
}

export function createTokens({ database, clock, random }: TokensDeps): Tokens {
  const list = async (): Promise<TokenView[]> => (await database.read(listTokens)).map(viewOf);
  return {
    async create({ name, role, repos, expiresInMs }) {
      const now = clock.now();
      const secret = `croft_${random.hex(24)}`;
      const view = { id: `T${random.hex(6)}`, name, role, repos, createdAt: now, expiresAt: now + expiresInMs };
      await database.write((sql) => insertToken(sql, { ...view, hash: sha256Hex(secret), scopes: repos }));
      return { ...view, secret };
    },
    list,
    async revoke(id) {
      await database.write((sql) => revokeToken(sql, id, clock.now()));
      const revoked = (await list()).find((token) => token.id === id);
      if (!revoked) throw new CroftError('not-found', `there is no token ${id}`);
      return revoked;
    },
    async byHash(hash) {
      const token = await database.read((sql) => tokenByHash(sql, hash));
      return token && knownOf(token);
    },
    used: (id, at) => database.write((sql) => touchToken(sql, id, at)),
  };
}

function knownOf({ id, name, role, scopes, expiresAt = Number.MAX_SAFE_INTEGER, lastUsedAt, revokedAt }: Token): KnownToken {
  return { id, name, role, repos: scopes, expiresAt, lastUsedAt, revokedAt };
}

function viewOf(token: Token): TokenView {
  const { createdAt, lastUsedAt, revokedAt } = token;
  const { id, name, role, repos, expiresAt } = knownOf(token);
  return { id, name, role, repos: [...repos], createdAt, expiresAt, lastUsedAt, revokedAt };
}
