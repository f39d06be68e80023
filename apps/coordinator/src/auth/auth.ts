/** Everything about who may come in, wired: tokens, sessions, local users and the audit trail. */
import { join } from 'node:path';
import type { Clock } from '@croft/runtime/clock';
import type { Log } from '@croft/runtime/log';
import type { Random } from '@croft/runtime/random';
import type { Database } from '@croft/store/database';
import { getSetting, setSetting } from '@croft/store/settings';
import { createAttempts } from '@croft/web/attempts';
import type { Connection } from '@croft/web/connection';
import { checkToken, createIdentify, localUid, sourceOf, type Identify, type KnownToken } from '@croft/web/identity';
import { createPeerUid, type PeerUid } from '@croft/web/peer-uid';
import { newSessionCookie } from '@croft/web/sessions';
import { createAudit, type Audit } from './audit.ts';
import { ensureTokenFile } from './token-file.ts';
import { createGithubKeys } from '../door/github-keys.ts';
import { createPeople, type People } from '../door/people.ts';
import { createMachineKeys, type MachineKeys } from './machine-keys.ts';
import { createTokens, type Tokens } from './tokens.ts';

export interface Auth {
  readonly identify: Identify;
  readonly tokens: Tokens;
  readonly machineKeys: MachineKeys;
  readonly audit: Audit;
  /** Whose SSH key it is. */
  readonly people: People;
  /** A session for whoever shows a token. @throws CroftError `unauthenticated`, `exhausted` */
  signIn(secret: string, connection: Connection, secure: boolean): Promise<{ token: KnownToken; cookie: string }>;
  /** Where the admin's token lies, when the admin needs one. */
  readonly tokenFile: string | undefined;
}

export interface AuthOptions {
  readonly database: Pick<Database, 'read' | 'write'>;
  readonly dataDir: string;
  /** Whether the listener is on loopback with no proxy in front: only then the other end's user counts. */
  readonly trustLocalUser: boolean;
  /** What somebody unknown may do. */
  readonly anonymous: 'none' | 'viewer';
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Logins at GitHub by person, as they are configured now. */
  readonly githubLogins?: (() => Readonly<Record<string, string>>) | undefined;
  /** For tests. */
  readonly peerUid?: PeerUid | undefined;
}

export async function openAuth(options: AuthOptions): Promise<Auth> {
  const { database, dataDir, trustLocalUser, anonymous, clock, random, log } = options;
  const tokens = createTokens({ database, clock, random });
  const peerUid = trustLocalUser ? (options.peerUid ?? createPeerUid()) : undefined;
  const tokenFile = peerUid ? undefined : join(dataDir, 'admin-token');
  if (tokenFile) await ensureTokenFile(tokenFile, { tokens, clock });
  const attempts = createAttempts(clock);
  const signIns = createAttempts(clock);
  const github = createGithubKeys({ logins: options.githubLogins ?? (() => ({})), clock, log });
  const sessionKey = await ensureSessionKey(database, random);
  return {
    identify: createIdentify({ tokens, peerUid, ownUid: process.getuid?.(), anonymous, attempts, sessionKey, clock }),
    tokens,
    machineKeys: createMachineKeys({ database, clock, random }),
    audit: createAudit({ database, clock, log }),
    people: createPeople({ database, github, trustLocalUser: peerUid !== undefined, clock, random }),
    async signIn(secret, connection, secure) {
      const uid = await localUid({ peerUid }, connection);
      const from = sourceOf(connection, uid);
      signIns.check(from);
      const token = await checkToken(secret, { tokens, attempts: signIns, clock, from });
      return { token, cookie: newSessionCookie(secret, { sessionKey, clock, uid, secure }) };
    },
    tokenFile,
  };
}

/** One key for all coordinators of a farm; whoever can read it can read the tokens' hashes beside it. */
async function ensureSessionKey(database: AuthOptions['database'], random: Random): Promise<string> {
  const fresh = random.hex(32);
  return database.write(async (sql) => {
    const present = await getSetting(sql, 'session-key');
    if (typeof present === 'string') return present;
    await setSetting(sql, 'session-key', fresh);
    return fresh;
  });
}
