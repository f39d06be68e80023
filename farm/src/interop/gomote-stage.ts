/**
 * A farm of ours as Go's gomote finds its own: under the names and ports that are built into it, in a network of its own, with a stub for Google's
 * tokens. Behind it is our buildlet, or Go's with its own sshd.
 */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { promisify } from 'node:util';
import type { ConfigInput } from '@croft/config/define-config';
import type { SshDoor } from '@croft/protocol/ssh';
import { MINUTE, systemClock } from '@croft/runtime/clock';
import { freePort } from '@croft/runtime/testing';
import { makeRepo } from '../testing-repo.ts';
import { startSshd } from '../testing-sshd.ts';
import { startFarm, type TestFarm } from '../testing.ts';
import { reverseFlags, startBuildlet, type Maker } from './buildlets.ts';
import type { GoPrograms } from './go-programs.ts';
import { openOwnNetwork, type OwnNetwork } from './own-network.ts';
import { sshPortFor } from './ssh-contract.ts';

export interface Said {
  /** Or the signal that killed it. */
  readonly code: number | string;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export interface Running {
  /** The exit status that is expected; 0 unless it says otherwise. */
  readonly code?: number;
  readonly input?: string | Buffer;
}

export interface GomoteStage extends AsyncDisposable {
  readonly farm: TestFarm;
  /** Ann's, with a small GOROOT, in which commands start. */
  readonly home: string;
  /** Any program, in the network of its own, as ann. @throws AssertionError unless it ends as expected */
  run(program: string, args: readonly string[], running?: Running): Promise<Said>;
  gomote(args: readonly string[], running?: Running): Promise<Said>;
  /** What gomote wrote, without the last line feed. */
  said(...args: string[]): Promise<string>;
}

export interface StageOptions {
  readonly buildlet: Maker;
  /** Of whoever runs the tests. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Path of the gomote that is tried; that of these programs by default. */
  readonly gomote?: string;
  /** Comes before the PATH of the farm, and so of its machines. */
  readonly path?: string;
}

export const builders = ['linux-amd64', 'linux-amd64-race'];
const goNames = ['farmer', 'build', 'gomote', 'gomotessh'].map((name) => `${name}.golang.org`);
const tokenName = 'oauth2.googleapis.com';
const [farmAddress, tokenAddress] = ['127.0.0.2', '127.0.0.3'];
const hostType = 'host-linux-go';
const masterKey = 'the master key of this test';
/** The first one waits until the farm has a machine. */
const commandMs = 3 * MINUTE;
const execFileOf = promisify(execFile);

export async function openGomoteStage(programs: GoPrograms, options: StageOptions): Promise<GomoteStage> {
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), 'croft-gomote-'));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const tls = await makeAuthority(dir);
  const farm = await openFarm(dir, { stack, tls, options });
  const { secret } = await farm.api<{ secret: string }>('POST', '/api/v1/tokens', {
    name: 'ann',
    role: 'developer',
    repos: [],
    expiresInMs: 3_600_000,
  });
  const tokens = await answerTokens(stack, { tls, secret });
  const { port: doorPort } = await farm.api<SshDoor>('GET', '/api/v1/ssh');
  const [sshdPort, sshdAs] = [await freePort(), await sshPortFor('Go')];
  const farmPort = Number(new URL(farm.url).port);
  const network = stack.use(
    await openOwnNetwork(
      { [farmAddress]: goNames.join(' '), [tokenAddress]: tokenName },
      {
        [`${farmAddress}:443`]: farmPort,
        [`${farmAddress}:2222`]: doorPort,
        [`${tokenAddress}:443`]: tokens,
        [`127.0.0.1:${sshdAs}`]: sshdPort,
      },
    ),
  );
  if (options.buildlet === 'Go')
    await startMachine({ stack, dir, programs, env: options.env, network, farm, certFile: tls.certFile, sshdPort });
  const home = await makeHome(dir, { secret, usesKey: options.buildlet === 'Go' });
  await addKey(farm, { home, secret });
  const env = {
    PATH: [join(home, 'bin'), dirname(programs.gomote), '/usr/local/go/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'].join(delimiter),
    HOME: home,
    TMPDIR: home,
    USER: 'ann',
    GOROOT: join(home, 'goroot'),
    SSL_CERT_FILE: tls.certFile,
  };
  const run: GomoteStage['run'] = async (program, args, { code = 0, input = '' } = {}) => {
    const ended = await runIn(network, [program, ...args], { cwd: join(home, 'goroot'), env, input });
    const tell = `${args.join(' ')}: ${ended.stderr}${ended.stdout.toString('utf8', 0, 2_000)}\n${farm.output().slice(-4_000)}`;
    assert.equal(ended.code, code, tell);
    return ended;
  };
  const gomote: GomoteStage['gomote'] = (args, running) => run(options.gomote ?? programs.gomote, args, running);
  const owned = stack.move();
  return {
    farm,
    home,
    run,
    gomote,
    said: async (...args) => (await gomote(args)).stdout.toString().replace(/\n$/, ''),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

interface Tls {
  readonly certFile: string;
  readonly keyFile: string;
}

/** For all names that Go's programs ask for, and for this process too. */
async function makeAuthority(dir: string): Promise<Tls> {
  const files = { certFile: join(dir, 'cert.pem'), keyFile: join(dir, 'key.pem') };
  const names = [...goNames, tokenName].map((name) => `DNS:${name}`).join(',');
  const wanted = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=croft'];
  const args = [...wanted, '-addext', `subjectAltName=${names},IP:127.0.0.1`, '-keyout', files.keyFile, '-out', files.certFile];
  await execFileOf('openssl', args);
  setDefaultCACertificates([...getCACertificates('default'), await readFile(files.certFile, 'utf8')]);
  return files;
}

interface Opening {
  readonly stack: AsyncDisposableStack;
  readonly tls: Tls;
  readonly options: StageOptions;
}

async function openFarm(dir: string, { stack, tls, options: { buildlet, path, env: given } }: Opening): Promise<TestFarm> {
  const masterKeyFile = join(dir, 'master.key');
  await writeFile(masterKeyFile, masterKey);
  const repo = stack.use(await makeRepo('#!/bin/sh\n'));
  const ofGo = buildlet === 'Go';
  const config: Partial<ConfigInput> = {
    repos: [{ name: 'go', url: repo.dir, pollMs: 'never' }],
    builders: builders.map((name) => ({ name, repo: 'go', steps: 'detect', env: { GO_BUILDER_NAME: name }, ...(ofGo && { hostType }) })),
    ...(ofGo && { hostTypes: [{ name: hostType, sshUser: userInfo().username }] }),
    pools: ofGo ? [{ kind: 'reverse', name: 'rack', hostType, expect: 1 }] : [{ kind: 'local', size: 3 }],
    tls,
    publicHosts: ['127.0.0.1', ...goNames],
    compat: { goBuilderKeys: true, masterKeyFile },
    ssh: { port: await freePort(), publicHost: goNames[0] },
  };
  const env = { NODE_EXTRA_CA_CERTS: tls.certFile, ...(path !== undefined && { PATH: [path, given['PATH']].join(delimiter) }) };
  return stack.use(await startFarm({ config, env }));
}

interface Machine {
  readonly stack: AsyncDisposableStack;
  readonly dir: string;
  readonly programs: GoPrograms;
  readonly env: StageOptions['env'];
  readonly network: OwnNetwork;
  readonly farm: TestFarm;
  readonly certFile: string;
  readonly sshdPort: number;
}

/** Go's buildlet, which dials its coordinator by its built-in name and finds an sshd at its built-in port. */
async function startMachine({ stack, dir, programs, env, network, farm, certFile, sshdPort }: Machine): Promise<void> {
  const itsKeys = join(dir, 'ssh');
  const whereGoWrites = join(userInfo().homedir, '.ssh');
  for (const path of [itsKeys, whereGoWrites]) await mkdir(path, { recursive: true, mode: 0o700 });
  stack.use(await startSshd(sshdPort, join(itsKeys, 'authorized_keys')));
  stack.use(
    await startBuildlet('Go', {
      programs,
      env,
      reverse: true,
      flags: reverseFlags('Go', { coordinator: 'farmer.golang.org', hostType, hostname: 'rack-1' }),
      home: { [`.gobuildkey-${hostType}`]: `${keyOf(hostType)}\n` },
      more: { SSL_CERT_FILE: certFile },
      mounts: { [whereGoWrites]: itsKeys },
      network,
    }),
  );
  await farm.waitFor('the machine', () => farm.output().includes('machine dialled in'), { deadlineMs: MINUTE });
}

function keyOf(name: string): string {
  return createHmac('md5', masterKey).update(name).digest('hex');
}

/** What the clients keep: a token of the farm (or one of Go's keys) for v1, Google's tokens for v2; a small GOROOT, and an ssh that asks nobody. */
async function makeHome(dir: string, { secret, usesKey }: { secret: string; usesKey: boolean }): Promise<string> {
  const home = join(dir, 'home');
  const quiet = '-F /dev/null -o LogLevel=ERROR -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null';
  const contents: Record<string, string> = {
    '.config/gomote/user-ann.token': usesKey ? keyOf('user-ann') : secret,
    '.config/gomote/iap-refresh-token': '{"refresh_token":"of no use"}',
    'goroot/src/hello.sh': '#!/bin/sh\necho "hello from $GO_BUILDER_NAME"\nexit 3\n',
    'goroot/src/make.bash': '#!/bin/sh\necho "made by $GO_BUILDER_NAME in $(pwd)"\n',
    'goroot/src/internal/goversion/goversion.go': 'package goversion\n\nconst Version = 25\n',
    'goroot/src/ü name': 'x',
    'goroot/README': 'read me\n',
    'bin/ssh': `#!/bin/sh\nexec /usr/bin/ssh -T ${quiet} -i "$HOME/key" "$@"\n`,
    'bin/scp': `#!/bin/sh\nexec /usr/bin/scp -q ${quiet} "$@"\n`,
  };
  for (const [name, content] of Object.entries(contents)) {
    await mkdir(dirname(join(home, name)), { recursive: true });
    await writeFile(join(home, name), content, { mode: 0o600 });
    if (content.startsWith('#!')) await chmod(join(home, name), 0o755);
  }
  await mkdir(join(home, '.config/gomote/.ssh'), { mode: 0o700 });
  for (const key of ['key', '.config/gomote/.ssh/id_ed25519'])
    await execFileOf('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(home, key)]);
  return home;
}

/** v1's ssh comes in with a key of ann's account; v2's with a certificate that the farm signs. */
async function addKey(farm: TestFarm, { home, secret }: { home: string; secret: string }): Promise<void> {
  const added = await fetch(`${farm.url}/api/v1/me/ssh-keys`, {
    method: 'POST',
    headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
    body: JSON.stringify({ key: (await readFile(join(home, 'key.pub'), 'utf8')).trim(), name: 'laptop' }),
  });
  assert.ok(added.ok, await added.text());
}

/** In the place of Google's: who signs in with a code gets a refresh token, and who comes with one the farm's. @returns its port */
async function answerTokens(stack: AsyncDisposableStack, { tls, secret }: { tls: Tls; secret: string }): Promise<number> {
  const device = { device_code: 'a code', user_code: 'ABCD', verification_url: 'https://sign.in/here', interval: 1 };
  const server = createServer({ cert: await readFile(tls.certFile), key: await readFile(tls.keyFile) }, async (request, response) => {
    const asked = new URLSearchParams(await text(request));
    const refreshed = { access_token: 'x', token_type: 'Bearer', refresh_token: 'of no use', expiry: '2100-01-01T00:00:00Z' };
    const answers: Record<string, unknown> = {
      'POST /device/code': device,
      'POST /token': asked.get('refresh_token') === 'of no use' ? { id_token: secret } : asked.get('device_code') === 'a code' && refreshed,
    };
    const answer = answers[`${request.method} ${request.url}`];
    response
      .writeHead(answer ? 200 : 400, { 'content-type': 'application/json' })
      .end(JSON.stringify(answer || { error: 'invalid_grant' }));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  stack.defer(async () => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

interface Surroundings {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly input: string | Buffer;
}

async function runIn(network: OwnNetwork, command: readonly [string, ...string[]], { cwd, env, input }: Surroundings): Promise<Said> {
  const [program, ...args] = network.enter(cwd, command);
  const limits = { signal: systemClock.deadline(commandMs), killSignal: 'SIGKILL' } as const;
  const child = spawn(program, args, { env, stdio: ['pipe', 'pipe', 'pipe'], ...limits });
  child.stdin.on('error', () => undefined).end(input);
  const ended = new Promise<number | string>((resolve) => {
    child.once('close', (code, signal) => resolve(code ?? signal ?? 'nothing'));
    child.once('error', (error) => child.pid ?? resolve(String(error))); // one that was killed closes afterwards
  });
  const [stdout, stderr, code] = await Promise.all([buffer(child.stdout), text(child.stderr), ended]);
  return { stdout, stderr, code };
}
