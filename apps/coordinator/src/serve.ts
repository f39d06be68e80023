/** The farm's door: who may come in, and what they find there, on one address. Leaves the address in the data directory for the CLI. */
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { FarmConfig } from '@croft/config/farm-config';
import type { ReverseDesk } from '@croft/fleet/reverse-desk';
import type { Clock } from '@croft/runtime/clock';
import type { Secret } from '@croft/runtime/config';
import { CroftError } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import type { Random } from '@croft/runtime/random';
import type { Database } from '@croft/store/database';
import { createAttempts } from '@croft/web/attempts';
import { serve } from '@croft/web/listener';
import { assertSafeAddress, isLoopbackHost } from '@croft/web/safe-address';
import { openAuth, type Auth } from './auth/auth.ts';
import type { Capabilities } from './capabilities.ts';
import type { SshAccess } from './door/access.ts';
import { openFarmDoor } from './door/open-farm-door.ts';
import type { Metrics } from './events.ts';
import { createGomote, type Distribution } from './distribution/distribution.ts';
import { createNodeBinaries } from './distribution/node-binaries.ts';
import { openGomote } from './gomote/gomote.ts';
import { createAdmit } from './originals/admit.ts';
import { openBuilderKeys } from './originals/builder-keys.ts';
import { createRpc } from './originals/rpc.ts';
import { createReverseDoor } from './reverse/door.ts';
import { createPages } from './pages/routes.ts';
import { createApp } from './routes/app.ts';
import { createShells } from './sessions/shells.ts';
import { createUploadDoor } from './sessions/upload-door.ts';
import { createTerminalDoor } from './terminal/terminal-door.ts';

export interface ServeDeps {
  readonly db: Database;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly version: string;
  readonly metrics: Metrics;
  readonly desk: ReverseDesk;
  /** What machines are given to run. */
  readonly distribution: () => Promise<Distribution>;
  /** With which the forge of a repository signs. */
  hookSecret(repo: string): Secret | undefined;
  /** Logins at GitHub by person. */
  githubLogins(): Readonly<Record<string, string>>;
  /** As whom Go's machines of a host type are entered by SSH. */
  sshUser(hostType: string): string | undefined;
}

export interface Served extends AsyncDisposable {
  readonly url: string;
  /** Where the admin's token lies; undefined where the local user is known without one. */
  readonly tokenFile: Auth['tokenFile'];
  /** Where people come in by SSH; undefined where they do not. */
  readonly ssh: SshAccess['place'] | undefined;
  readonly people: Auth['people'];
}

/** @throws CroftError `invalid` for an address that is not safe, `unavailable` for one that cannot be bound */
export async function serveFarm(config: FarmConfig, { capabilities }: { capabilities: Capabilities }, deps: ServeDeps): Promise<Served> {
  const { host, port, behindProxy, anonymous, publicHosts, dataDir } = config;
  const { db, clock, random, log, version, metrics, hookSecret, distribution } = deps;
  const tls = config.tls && (await readTls(config.tls));
  assertSafeAddress({ host, tls: tls !== undefined, behindProxy });
  await using stack = new AsyncDisposableStack();
  const trustLocalUser = isLoopbackHost(host) && !behindProxy;
  if (anonymous === 'viewer' && !trustLocalUser) log.warn('anybody may read', { host, behindProxy });
  const auth = await openAuth({ database: db, dataDir, trustLocalUser, anonymous, clock, random, log, githubLogins: deps.githubLogins });
  const { sessions } = capabilities;
  const shells = createShells({ clock, random, audit: auth.audit, log }); // one for all ways in, which share who is attached
  const ssh = config.ssh && stack.use(await openFarmDoor(config.ssh, { ...deps, ...auth, sessions, shells }));
  const keys = await openBuilderKeys(config.compat, trustLocalUser);
  const pages = createPages({ clock, log, audit: auth.audit, shells, people: auth.people, door: ssh?.view });
  const publicOrigin = behindProxy && publicHosts[0] ? `https://${publicHosts[0]}` : undefined;
  const names = { publicNames: publicHosts, publicOrigin };
  const keyAttempts = createAttempts(clock);
  const app = createApp({
    keyAttempts,
    capabilities,
    auth,
    pages,
    metrics,
    keys,
    hookSecret,
    ssh,
    distribution,
    gomote: createGomote(join(dataDir, 'programs')),
    nodes: createNodeBinaries(join(dataDir, 'programs')),
    version,
    behindProxy,
    ...names,
    clock,
    random,
    log,
  });
  const admit = createAdmit({ keys, audit: auth.audit, attempts: keyAttempts });
  const { lowWaterBytes } = config;
  const shared = { ...names, capabilities, auth, keys, attempts: keyAttempts, behindProxy, clock, random, log };
  const gomote = stack.use(await openGomote({ ...shared, ssh, dataDir, lowWaterBytes }));
  const rpc = createRpc({ ...names, admit, dashboard: capabilities.dashboard, others: [gomote.rpc], log, random });
  const { identify, machineKeys, audit } = auth;
  const attempts = createAttempts(clock);
  const door = createReverseDoor({ desk: deps.desk, keys: machineKeys, goKeys: keys, behindProxy, attempts, audit, log });
  const terminals = createTerminalDoor({ ...names, auth, sessions, shells, behindProxy, clock, random, log });
  const uploads = createUploadDoor({ ...names, sessions, identify, audit, pages, behindProxy, clock, random, log });
  const raw = [...gomote.raw, rpc, door, terminals, uploads];
  const listener = stack.use(
    await serve((request, connection) => app.fetch(request, { connection }), { host, port, tls, raw, log, clock }),
  );
  const [certified] = tls ? publicHosts : []; // a certificate is made out to a name
  const url = certified === undefined ? listener.url : `https://${certified}:${listener.port}`;
  stack.use(await leaveAddress(join(dataDir, 'address.json'), url));
  const owned = stack.move();
  const { tokenFile, people } = auth;
  return { url, tokenFile, people, ssh: ssh?.place, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function readTls({ certFile, keyFile }: { certFile: string; keyFile: string }): Promise<{ cert: string; key: string }> {
  const read = async (path: string): Promise<string> => {
    try {
      return await readFile(path, 'utf8');
    } catch (error) {
      throw new CroftError('invalid', `reading ${path} for TLS`, { cause: error, hint: 'Give PEM files that the farm’s user can read.' });
    }
  };
  return { cert: await read(certFile), key: await read(keyFile) };
}

/** Written whole or not at all, and gone when nothing listens there any more. */
async function leaveAddress(path: string, url: string): Promise<AsyncDisposable> {
  await writeFile(`${path}.new`, `${JSON.stringify({ url })}\n`, { mode: 0o600 });
  await rename(`${path}.new`, path);
  return { [Symbol.asyncDispose]: () => rm(path, { force: true }) };
}
