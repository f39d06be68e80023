/**
 * Go's own gomote of July 2022, unchanged, against a farm of ours: both its protocols, on our buildlet and on Go's. It finds the farm under
 * the names that are built into it, by a hosts file in a mount namespace of its own.
 */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import { tmpdir, userInfo } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { promisify } from 'node:util';
import type { ConfigInput } from '@croft/config/define-config';
import { MINUTE, systemClock } from '@croft/runtime/clock';
import { makeRepo } from '../testing-repo.ts';
import { startFarm, type TestFarm } from '../testing.ts';
import { reverseFlags, startBuildlet } from './buildlets.ts';
import { goPrograms, type GoPrograms } from './go-programs.ts';
import { answerFor } from './own-loopback.ts';

const programs = await goPrograms({ env: process.env, progress: (line) => process.stderr.write(`${line}\n`) });
const run = promisify(execFile);
const farmAddress = '127.66.84.5';
const tokenAddress = '127.66.84.6';
const sshPort = 2222;
const hostType = 'host-linux-go';
const builder = 'linux-amd64';
const masterKey = 'the master key of this test';
/** The first one waits until the farm has a machine. */
const commandMs = 3 * MINUTE;

let dir: string;
let authority: string;
let files: { certFile: string; keyFile: string };
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'croft-interop-'));
  files = { certFile: join(dir, 'cert.pem'), keyFile: join(dir, 'key.pem') };
  const names = ['farmer.golang.org', 'build.golang.org', 'oauth2.googleapis.com'].map((name) => `DNS:${name}`).join(',');
  const wanted = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=croft'];
  await run('openssl', [...wanted, '-addext', `subjectAltName=${names},IP:127.0.0.1`, '-keyout', files.keyFile, '-out', files.certFile]);
  authority = await readFile(files.certFile, 'utf8');
  setDefaultCACertificates([...getCACertificates('default'), authority]);
});
after(() => rm(dir, { recursive: true }));

interface Said {
  readonly code: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

interface Stage extends AsyncDisposable {
  readonly farm: TestFarm;
  readonly home: string;
  /** Go's gomote as ann; fails the test unless it ends as expected. */
  gomote(args: readonly string[], wish?: { readonly code?: number; readonly input?: string | Buffer }): Promise<Said>;
  /** What it wrote, without the last line feed. */
  said(...args: string[]): Promise<string>;
}

async function openStage(given: GoPrograms & { gomote: string }, kind: 'Croft' | 'Go'): Promise<Stage> {
  await using stack = new AsyncDisposableStack();
  const masterKeyFile = join(dir, 'master.key');
  await writeFile(masterKeyFile, masterKey);
  const repo = stack.use(await makeRepo('#!/bin/sh\n'));
  const pools: ConfigInput['pools'] =
    kind === 'Croft' ? [{ kind: 'local', size: 2 }] : [{ kind: 'reverse', name: 'rack', hostType, expect: 1 }];
  const config: Partial<ConfigInput> = {
    repos: [{ name: 'go', url: repo.dir, pollMs: 'never' }],
    builders: [{ name: builder, repo: 'go', steps: 'detect', env: { GO_BUILDER_NAME: builder }, ...(kind === 'Go' && { hostType }) }],
    ...(kind === 'Go' && { hostTypes: [{ name: hostType }] }),
    pools,
    tls: files,
    publicHosts: ['127.0.0.1', 'farmer.golang.org', 'build.golang.org'],
    compat: { goBuilderKeys: true, masterKeyFile },
    ssh: { host: farmAddress, port: sshPort, publicHost: 'farmer.golang.org' },
  };
  const farm = stack.use(await startFarm({ config, env: { NODE_EXTRA_CA_CERTS: files.certFile } }));
  const web = await answerFor(farmAddress, 443, Number(new URL(farm.url).port));
  if (!web) throw new Error(`port 443 of ${farmAddress} is taken`);
  stack.use(web);
  const hosts = join(dir, 'hosts');
  await writeFile(hosts, `127.0.0.1 localhost\n${farmAddress} farmer.golang.org build.golang.org\n${tokenAddress} oauth2.googleapis.com\n`);
  if (kind === 'Go') {
    const flags = reverseFlags('Go', { coordinator: 'farmer.golang.org', hostType, hostname: 'rack-1' });
    const home = { [`.gobuildkey-${hostType}`]: `${createHmac('md5', masterKey).update(hostType).digest('hex')}\n` };
    const more = { SSL_CERT_FILE: files.certFile };
    stack.use(
      await startBuildlet('Go', { programs: given, env: process.env, reverse: true, flags, home, more, mounts: { '/etc/hosts': hosts } }),
    );
    await farm.waitFor('the machine', () => farm.output().includes('machine dialled in'), { deadlineMs: MINUTE });
  }
  const { secret } = await farm.api<{ secret: string }>('POST', '/api/v1/tokens', {
    name: 'ann',
    role: 'developer',
    repos: [],
    expiresInMs: 3_600_000,
  });
  stack.use(await answerTokens(secret));
  const home = await makeHome(stack, { secret, kind });
  const gomote: Stage['gomote'] = async (args, { code = 0, input = '' } = {}) => {
    const ended = await runGomote(given.gomote, args, { home, input });
    assert.equal(
      ended.code,
      code,
      `gomote ${args.join(' ')}: ${ended.stderr}${ended.stdout.toString().slice(0, 2_000)}\n${farm.output().slice(-4_000)}`,
    );
    return ended;
  };
  const owned = stack.move();
  return {
    farm,
    home,
    gomote,
    said: async (...args) => (await gomote(args)).stdout.toString().replace(/\n$/, ''),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** What the client keeps: a token of the farm for v1, a refresh token for v2; a small GOROOT, and an ssh that asks nobody. */
async function makeHome(stack: AsyncDisposableStack, { secret, kind }: { secret: string; kind: string }): Promise<string> {
  const home = await mkdtemp(join(dir, 'home-'));
  stack.defer(() => rm(home, { recursive: true, force: true }));
  const key = createHmac('md5', masterKey).update('user-ann').digest('hex');
  const contents: Record<string, string> = {
    '.config/gomote/user-ann.token': kind === 'Croft' ? secret : key,
    '.config/gomote/iap-refresh-token': '{"refresh_token":"of no use"}',
    'goroot/src/hello.sh': '#!/bin/sh\necho "hello from $GO_BUILDER_NAME"\nexit 3\n',
    'goroot/src/ü name': 'x',
    'goroot/README': 'read me\n',
    'bin/ssh':
      '#!/bin/sh\nexec /usr/bin/ssh -T -F /dev/null -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -i "$HOME/key" "$@"\n',
  };
  for (const [name, content] of Object.entries(contents)) {
    await mkdir(dirname(join(home, name)), { recursive: true });
    await writeFile(join(home, name), content, { mode: 0o600 });
  }
  await chmod(join(home, 'bin/ssh'), 0o755);
  await chmod(join(home, 'goroot/src/hello.sh'), 0o755);
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(home, 'key')]);
  await mkdir(join(home, '.config/gomote/.ssh'), { mode: 0o700 });
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(home, '.config/gomote/.ssh/id_ed25519')]);
  return home;
}

/** In the place of Google's: whoever comes with a refresh token gets the farm's token. */
async function answerTokens(secret: string): Promise<AsyncDisposable> {
  const tls = { cert: authority, key: await readFile(files.keyFile) };
  const server = createServer(tls, (request, response) => {
    request.resume();
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ id_token: secret }));
  }).listen(443, tokenAddress);
  await once(server, 'listening');
  return {
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
    },
  };
}

async function runGomote(
  program: string,
  args: readonly string[],
  { home, input }: { home: string; input: string | Buffer },
): Promise<Said> {
  const command = [
    '--mount',
    'sh',
    '-c',
    'mount --bind "$0" /etc/hosts && exec "$@"',
    join(dir, 'hosts'),
    program,
    '-user',
    'ann',
    ...args,
  ];
  const env = {
    PATH: `${join(home, 'bin')}${delimiter}/usr/local/go/bin${delimiter}/usr/sbin${delimiter}/usr/bin${delimiter}/sbin${delimiter}/bin`,
    HOME: home,
    TMPDIR: home,
    GOROOT: join(home, 'goroot'),
    SSL_CERT_FILE: files.certFile,
  };
  const child = spawn('unshare', command, {
    cwd: join(home, 'goroot'),
    env,
    stdio: ['pipe', 'pipe', 'pipe'],
    signal: systemClock.deadline(commandMs),
    killSignal: 'SIGKILL',
  });
  child.stdin.on('error', () => undefined).end(input);
  const [stdout, stderr, [code]] = await Promise.all([buffer(child.stdout), text(child.stderr), once(child, 'close')]);
  return { stdout, stderr, code: Number(code) };
}

/** Or why there is none. */
function readyGomote(): (GoPrograms & { gomote: string }) | string {
  if ('missing' in programs) return programs.missing;
  if (programs.gomote === undefined) return `${programs.version} has no gomote with both protocols`;
  if (userInfo().uid !== 0 || process.platform !== 'linux') return 'another hosts file needs a mount namespace, so root on Linux';
  return { ...programs, gomote: programs.gomote };
}

for (const kind of ['Croft', 'Go'] as const) {
  describe(`Go’s gomote on ${kind}’s buildlet`, () => {
    test('v1: create, list, put, push, run, ls, gettar, ssh, rm, destroy', async (t) => {
      const given = readyGomote();
      if (typeof given === 'string') return t.skip(given);
      await using stage = await openStage(given, kind);
      const { gomote, said } = stage;
      const name = await said('create', builder);
      assert.equal(name, `user-ann-${builder}-0`);
      assert.match(await said('list'), new RegExp(`^${name}\t${builder}\t\\S+\texpires in \\S+$`));
      await gomote(['put', '-mode', '755', name, '-', 'go1.4/bin/go'], { input: '#!/bin/sh\n' }); // or push would fetch the toolchain
      const pushed = await gomote(['push', name]);
      assert.match(pushed.stderr, /Uploading \d+ new\/changed files/);
      assert.doesNotMatch((await gomote(['push', name])).stderr, /Uploading/, 'a second push sends nothing');
      const ran = await gomote(['run', name, 'go/src/hello.sh'], { code: 1 });
      assert.equal(ran.stdout.toString(), `hello from ${builder}\n`);
      assert.match(ran.stderr, /Error running run: exit status 3/);
      const bytes = await gomote(['run', '-e', 'X=$(id) "%d', name, '/bin/sh', '-c', String.raw`printf '%s \0 \377' "$X"`]);
      assert.deepEqual(bytes.stdout, Buffer.from('$(id) "%d \0 \xff', 'latin1'));
      const path = await said('run', '-path', '$WORKDIR/x,$PATH', name, '/bin/sh', '-c', 'echo $PATH');
      assert.match(path, /^\/\S+\/x:\S+:/);
      assert.equal(await said('run', '-path', 'EMPTY', name, '/bin/sh', '-c', 'echo "[$PATH]"'), '[]');
      assert.match(await said('ls', '-R', name, '.'), /^-rwxr-xr-x\tgo\/src\/hello\.sh\t/m);
      const archive = (await gomote(['gettar', '-dir', 'go/src', name])).stdout;
      await writeFile(join(stage.home, 'got.tar.gz'), archive);
      assert.match((await run('tar', ['-tzf', join(stage.home, 'got.tar.gz')])).stdout, /hello\.sh/);
      await gomote(['puttar', '-dir', 'again', name, join(stage.home, 'got.tar.gz')]);
      assert.match(await said('ls', name, 'again'), /hello\.sh/);
      await gomote(['rm', name, 'again']);
      await trySsh(stage, ['ssh', name], kind);
      await gomote(['destroy', name]);
      assert.equal(await said('list'), '');
      assert.match((await gomote(['run', name, '/bin/true'], { code: 1 })).stderr, /unknown builder|unknown or expired buildlet/);
    });

    test('v2: create, list, put, push, run, ls, gettar, ping, ssh, rm, destroy', async (t) => {
      const given = readyGomote();
      if (typeof given === 'string') return t.skip(given);
      await using stage = await openStage(given, kind);
      const { gomote, said } = stage;
      const v2 = (...args: string[]): Promise<string> => said('v2', ...args);
      const name = await v2('create', builder);
      assert.equal(name, `ann-${builder}-0`);
      assert.match(await v2('list'), new RegExp(`^${name}\t${builder}\t`));
      await gomote(['v2', 'put', '-mode', '755', name, '-', 'go1.4/bin/go'], { input: '#!/bin/sh\n' });
      assert.match((await gomote(['v2', 'push', name])).stderr, /Uploading \d+ new\/changed files/);
      assert.doesNotMatch((await gomote(['v2', 'push', name])).stderr, /Uploading/, 'a second push sends nothing');
      const ran = await gomote(['v2', 'run', name, 'go/src/hello.sh'], { code: 1 });
      assert.match(ran.stdout.toString(), new RegExp(`^hello from ${builder}\n`));
      assert.match(ran.stderr, /command execution failed: exit status 3/);
      assert.match(await v2('run', '-path', '$WORKDIR/x,$PATH', name, '/bin/sh', '-c', 'echo $PATH'), /^\/\S+\/x:\S+:/);
      assert.match(await v2('ls', '-R', name, '.'), /^-rwxr-xr-x\tgo\/src\/hello\.sh\t/m);
      const archive = (await gomote(['v2', 'gettar', '-dir', 'go/src', name])).stdout;
      await writeFile(join(stage.home, 'got.tar.gz'), archive);
      assert.match((await run('tar', ['-tzf', join(stage.home, 'got.tar.gz')])).stdout, /hello\.sh/);
      await gomote(['v2', 'puttar', '-dir', 'again', name, join(stage.home, 'got.tar.gz')]);
      assert.match(await v2('ls', name, 'again'), /hello\.sh/);
      await gomote(['v2', 'rm', name, 'again']);
      await gomote(['v2', 'ping', name]);
      await trySsh(stage, ['v2', 'ssh', name], kind);
      await gomote(['v2', 'destroy', name]);
      assert.equal(await v2('list'), '');
    });
  });
}

/** v1 comes in with a key of ann's account, v2 with the certificate that the farm signs. Go's buildlets need an sshd, which is for the door's own tests. */
async function trySsh({ farm, gomote, home }: Stage, args: string[], kind: 'Croft' | 'Go'): Promise<void> {
  if (kind === 'Go') return;
  if (args[0] === 'ssh') {
    const publicKey = await readFile(join(home, 'key.pub'), 'utf8');
    const token = (await readFile(join(home, '.config/gomote/user-ann.token'), 'utf8')).trim();
    const added = await fetch(`${farm.url}/api/v1/me/ssh-keys`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ key: publicKey.trim(), name: 'laptop' }),
    });
    assert.ok(added.ok, await added.text());
  }
  const { stdout } = await gomote(args, { input: 'echo "in $GO_BUILDER_NAME"\nexit\n' });
  assert.match(stdout.toString(), new RegExp(`^in ${builder}\r?$`, 'm'));
}
