/**
 * The SSH door: ends SSH once and leads to machines by runs and raw connections. Nobody who is not known gets further than their login,
 * and nobody reaches anything but the machine they may enter. gomote-ssh.md 8; docs/using/ssh.md.
 */
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import ssh2, { type AuthContext, type ClientInfo, type Connection } from 'ssh2';
import { SECOND } from '@croft/runtime/clock';
import { CroftError, errorText, isCode, systemCode } from '@croft/runtime/errors';
import { createTaskGroup, type TaskGroup } from '@croft/runtime/tasks';
import { createAttempts, type Attempts } from '@croft/web/attempts';
import { authenticate, type AuthenticateDeps } from './authenticate.ts';
import { serveConnection, type ConnectionDeps } from './connection.ts';
import { isCertificateType } from './certificate.ts';
import type { LoginMethod } from './door-metrics.ts';
import { createGoMachines, type GoMachineDeps } from './go-machines.ts';
import { addressOf, createGuests, type Guests } from './guests.ts';
import { readByCopy } from './read-by-copy.ts';
import { offerOnly, socketOf, type Offered } from './ssh2-inside.ts';
import type { Login } from './visit.ts';

export interface DoorOptions {
  readonly listenHost: string;
  readonly listenPort: number;
  /** Another one, where that is taken. */
  readonly orAnyPort?: boolean;
}

export type DoorDeps = AuthenticateDeps & Omit<ConnectionDeps, 'tasks' | 'goMachines'> & GoMachineDeps;

export interface SshDoor extends AsyncDisposable {
  readonly port: number;
}

/** Nothing with SHA-1, CBC, 3DES, a curve of NIST's, or a group that costs an unknown client more of our time than of its own. */
const algorithms = {
  // The usual name second: the library drops the packet of a client that guessed, even one that guessed right, as Dropbear would then have.
  kex: ['curve25519-sha256@libssh.org', 'curve25519-sha256'],
  serverHostKey: ['ssh-ed25519', 'rsa-sha2-512', 'rsa-sha2-256'],
  cipher: ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com', 'chacha20-poly1305@openssh.com', 'aes128-ctr', 'aes256-ctr'],
  hmac: ['hmac-sha2-256-etm@openssh.com', 'hmac-sha2-512-etm@openssh.com'],
  compress: ['none'],
} as const;
/** OpenSSH would take CTR, which is a third as fast here. */
const fastCiphers = algorithms.cipher.slice(0, 2);
/** libssh2, of curl and PHP, has neither GCM nor these codes after encryption before its version 1.11. */
const olderCodes = ['hmac-sha2-256', 'hmac-sha2-512'] as const;

/** For the last words to a client whose connection failed. */
const farewellMs = SECOND;
const keepAliveMs = 15 * SECOND;
const keepAliveTries = 3;
/** Keys that one connection may offer: agents have many. */
const maxTries = 30;

/** @throws CroftError `unavailable` for an address that cannot be bound */
export async function openDoor({ listenHost, listenPort, orAnyPort = false }: DoorOptions, deps: DoorDeps): Promise<SshDoor> {
  await using stack = new AsyncDisposableStack();
  const { clock, log, keys, metrics } = deps;
  const tasks = stack.use(createTaskGroup((task, error) => log.error('ssh work stopped', { task, error })));
  const attempts = createAttempts(clock);
  const guests = createGuests(attempts, { clock, metrics });
  metrics.ssh.observe(guests.traffic);
  const shared = { ...deps, goMachines: createGoMachines(deps), tasks };
  const hostKeys = keys.hosts.map(({ secret }) => secret);
  const settings = {
    hostKeys,
    algorithms: mutable(algorithms),
    ident: 'Croft',
    keepaliveInterval: keepAliveMs,
    keepaliveCountMax: keepAliveTries,
  };
  const server = new ssh2.Server(settings, (connection, info) => receive(connection, info, { shared, attempts, guests, tasks }));
  const listener = createServer({ noDelay: true, pauseOnConnect: true }, (accepted) => {
    const socket = readByCopy(accepted);
    socket.on('error', () => undefined);
    try {
      guests.admit(socket);
      server.injectSocket(socket);
    } catch (error) {
      log.info('ssh connection refused', { from: addressOf(socket), why: errorText(error) });
      socket.destroy();
    }
  });
  const listen = async (port: number): Promise<void> => {
    listener.listen(port, listenHost);
    await once(listener, 'listening');
  };
  await listen(listenPort)
    .catch((error: unknown) => (orAnyPort && systemCode(error) === 'EADDRINUSE' ? listen(0) : Promise.reject(error)))
    .catch((error: unknown) => {
      throw new CroftError('unavailable', `listen for SSH at ${listenHost}:${listenPort}`, {
        cause: error,
        hint: 'Set ssh.port to another port.',
      });
    });
  stack.defer(async () => {
    const closed = once(listener, 'close');
    listener.close();
    guests.endAll();
    await closed;
  });
  const owned = stack.move();
  return { port: (listener.address() as AddressInfo).port, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

interface Received {
  readonly shared: ConnectionDeps & AuthenticateDeps;
  readonly attempts: Attempts;
  readonly guests: Guests;
  readonly tasks: TaskGroup;
}

/** A client that has told its version, and nothing else. */
function receive(connection: Connection, { header }: ClientInfo, { shared, attempts, guests, tasks }: Received): void {
  const { clock, log, audit, metrics } = shared;
  const socket = socketOf(connection);
  const from = addressOf(socket);
  let login: Login | undefined;
  let refusal: Refusal | undefined;
  let tries = 0;
  offerOnly(connection, offerTo(header.versions.software));
  connection.on('error', (error) => {
    log.debug('ssh connection failed', { from, error });
    socket.destroySoon(); // the library reads no more, so the client's end would never come
    clock.deadline(farewellMs).addEventListener('abort', () => socket.destroy(), { once: true });
  });
  connection.on('authentication', (context) => {
    tries += 1;
    if (tries > maxTries) {
      metrics.ssh.limited('tries');
      return void socket.destroy();
    }
    tasks.start('ssh login', async () => {
      const decided = await decide(context, shared);
      if (socket.destroyed) return;
      if (decided === 'sign') return context.accept();
      if ('why' in decided) {
        if (decided.why !== '') refusal = { user: context.username, method: methodOf(context), why: decided.why };
        return context.reject(['publickey']);
      }
      login = decided;
      context.accept();
    });
  });
  connection.once('ready', () => {
    const proven = login;
    if (!proven) return void socket.destroy();
    guests.known(socket);
    tasks.start('ssh connection', () => serveConnection(connection, proven, from, shared));
  });
  connection.once('close', () => {
    if (login) return;
    metrics.ssh.login(refusal ? 'refused' : 'none', refusal?.method ?? 'none');
    if (!refusal) return;
    attempts.failed(from);
    const { user, why } = refusal;
    tasks.start('ssh refusal', () => audit.refused({ who: 'unknown', what: 'ssh.login', target: user.slice(0, 200), from }, why));
  });
}

function offerTo(software: string): Offered {
  return {
    hostKeys: algorithms.serverHostKey,
    ciphers: software.startsWith('OpenSSH_') ? fastCiphers : algorithms.cipher,
    codes: software.startsWith('libssh2_') ? [...algorithms.hmac, ...olderCodes] : algorithms.hmac,
  };
}

/** `why` is empty where nothing was offered. */
async function decide(
  context: AuthContext,
  deps: AuthenticateDeps & Pick<ConnectionDeps, 'log'>,
): Promise<Login | 'sign' | { why: string }> {
  if (context.method !== 'publickey') return { why: '' };
  const { username: user, key, hashAlgo: hash, signature, blob } = context;
  try {
    return await authenticate({ user, algorithm: key.algo, hash, key: key.data, signature, signed: blob }, deps);
  } catch (error) {
    if (!(error instanceof CroftError) || isCode(error, 'internal')) deps.log.error('ssh login failed', { error });
    return { why: errorText(error) };
  }
}

interface Refusal {
  readonly user: string;
  readonly method: LoginMethod;
  readonly why: string;
}

function methodOf(context: AuthContext): LoginMethod {
  if (context.method !== 'publickey') return 'none';
  return isCertificateType(context.key.algo) ? 'certificate' : 'key';
}

function mutable(lists: typeof algorithms): { [Name in keyof typeof algorithms]: (typeof algorithms)[Name][number][] } {
  const { kex, serverHostKey, cipher, hmac, compress } = lists;
  return { kex: [...kex], serverHostKey: [...serverHostKey], cipher: [...cipher], hmac: [...hmac], compress: [...compress] };
}
