/** A door over a real buildlet and sessions in memory, entered with the stock client of OpenSSH. */
import { execFile, spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { mkdtempDisposable, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createBuildlet, type Buildlet } from '@croft/buildlet/client';
import { startTestBuildlet } from '@croft/buildlet/testing';
import { DAY, SECOND, systemClock } from '@croft/runtime/clock';
import { silentLog } from '@croft/runtime/log';
import { systemRandom } from '@croft/runtime/random';
import { createAudit } from '../auth/audit.ts';
import { createTokens } from '../auth/tokens.ts';
import { createMetrics, type Metrics } from '../events.ts';
import type { SessionGround } from '../sessions/sessions.ts';
import { createShells } from '../sessions/shells.ts';
import { fakeSession, fakeSessions, type FakeSessions } from '../sessions/testing.ts';
import { createSshAccess, type SshAccess } from './access.ts';
import { openDoor } from './door.ts';
import { openFarmKeys, type FarmKeys } from './farm-keys.ts';
import { createGithubKeys } from './github-keys.ts';
import { createPeople, type People } from './people.ts';
import { openTestStore } from './testing.ts';

export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface DoorStage extends AsyncDisposable {
  readonly port: number;
  readonly dir: string;
  readonly buildlet: Buildlet;
  readonly workDir: string;
  readonly sessions: FakeSessions;
  readonly people: People;
  readonly keys: FarmKeys;
  readonly access: SshAccess;
  /** Options with which OpenSSH's programs come as that person. */
  options(person?: string): string[];
  /** The person's key file; the public one ends in `.pub`. */
  keyFile(person?: string): string;
  ssh(args: readonly string[], more?: { input?: string; person?: string }): Promise<Ended>;
  start(args: readonly string[], person?: string): ChildProcessWithoutNullStreams;
  audited(): Promise<string[]>;
  readonly metrics: Metrics;
  /** A door anew, as after a restart of the coordinator. */
  reopen(): Promise<void>;
  /** A second door at the same port, or at any. */
  another(orAnyPort: boolean): ReturnType<typeof openDoor>;
}

export const host = '127.0.0.1';
const execMs = 60 * SECOND;
const execFileOf = promisify(execFile);

export async function openDoorStage(ground: Partial<SessionGround> = {}, loginShell = '/bin/sh'): Promise<DoorStage> {
  await using stack = new AsyncDisposableStack();
  const base = { clock: systemClock, random: systemRandom, log: silentLog };
  const { path: dir } = stack.use(await mkdtempDisposable(join(tmpdir(), 'croft-door-')));
  const database = stack.use(await openTestStore());
  const machine = stack.use(await startTestBuildlet({ inside: await ownAccount(dir, loginShell) }));
  const buildlet = stack.use(createBuildlet(machine.address, base));
  const sessions = fakeSessions({ buildlet, ground: { dir: '.', env: { CI: 'true' }, ...ground } });
  sessions.put(fakeSession({ sharedWith: ['bob'] }));
  const keys = await openFarmKeys(database);
  const people = createPeople({ database, github: createGithubKeys({ ...base, logins: () => ({}) }), trustLocalUser: false, ...base });
  const audit = createAudit({ database, ...base });
  const tokens = createTokens({ database, ...base });
  for (const person of ['ann', 'bob', 'carl', 'stranger']) {
    const file = join(dir, person);
    await execFileOf('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file]);
    if (person === 'stranger') continue;
    await tokens.create({ name: person, role: 'developer', repos: [], expiresInMs: DAY });
    await people.add(person, { key: await readFile(`${file}.pub`, 'utf8'), name: '' });
  }
  const deps = { ...base, metrics: createMetrics(), sshUser: () => undefined, sessions, people, audit, keys, host };
  const open: (port: number, any?: boolean) => ReturnType<typeof openDoor> = (listenPort, orAnyPort = false) =>
    openDoor({ listenHost: host, listenPort, orAnyPort }, { ...deps, shells: createShells({ ...base, audit }) });
  let door = await open(0);
  stack.defer(() => door[Symbol.asyncDispose]());
  const { port } = door;
  const access = createSshAccess(keys, { host, port }, base);
  await writeFile(join(dir, 'known'), access.view.knownHosts);
  const optionsOf = (person = 'ann'): string[] => [
    ...['-F', 'none', '-i'].concat(join(dir, person)),
    ...['BatchMode=yes', 'IdentitiesOnly=yes', 'LogLevel=ERROR', `UserKnownHostsFile=${dir}/known`].flatMap((one) => ['-o', one]),
  ];
  const argsOf = (args: readonly string[], person?: string): string[] => [...optionsOf(person), '-p', String(port), ...args];
  const owned = stack.move();
  return {
    port,
    dir,
    buildlet,
    workDir: machine.workDir,
    sessions,
    people,
    keys,
    access,
    options: optionsOf,
    keyFile: (person = 'ann') => join(dir, person),
    ssh: (args, { input = '', person } = {}) => run('ssh', argsOf(args, person), input),
    start: (args, person) => spawn('ssh', argsOf(args, person)),
    metrics: deps.metrics,
    async audited() {
      const { entries } = await audit.list({ limit: 100 });
      return entries.map(({ who, what, target }) => `${who}: ${what} ${target}`).toReversed();
    },
    another: (orAnyPort) => open(port, orAnyPort),
    async reopen() {
      await door[Symbol.asyncDispose]();
      door = await open(port);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Starts a program where root has that shell and an empty home, as far as root may arrange that. */
async function ownAccount(dir: string, shell: string): Promise<string[]> {
  if (process.getuid?.() !== 0 || process.platform !== 'linux') return [];
  const passwd = join(dir, 'passwd');
  await writeFile(passwd, `root:x:0:0:root:${dir}:${shell}\n`);
  return ['unshare', '-m', '/bin/sh', '-c', 'mount --bind "$0" /etc/passwd && exec "$@"', passwd];
}

/** A program's end, whatever it is. */
export function run(program: string, args: readonly string[], input = ''): Promise<Ended> {
  const { promise, resolve } = Promise.withResolvers<Ended>();
  const options = { signal: systemClock.deadline(execMs), maxBuffer: 64 * 1024 * 1024 };
  const child = execFile(program, args, options, (error, stdout, stderr) => {
    resolve({ code: error ? (typeof error.code === 'number' ? error.code : -1) : 0, stdout, stderr });
  });
  child.stdin?.on('error', () => undefined).end(input);
  return promise;
}
