/**
 * A Docker daemon for one test file: private, without networks, with a small image of this computer's own programs, since no
 * registry can be asked. It needs root and Debian's docker.io.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { chmod, copyFile, mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { systemClock } from '@croft/runtime/clock';
import { build } from 'esbuild';
import { prepareContainerNode, type ContainerNode } from './container-node.ts';

const image = 'croft-test:1';
const programs = 'cat chmod dd env grep head id ln ls mkdir mv rm seq sh sleep tail touch true'.split(' ');
const startMs = 30_000;

/** Pass it to `describe` as `skip`: why there can be no daemon here, or false. Where one is required its absence is a failure later. */
export function dockerMissing(env: Readonly<Record<string, string | undefined>>): string | false {
  if (env['CROFT_REQUIRE_DOCKER'] === '1') return false;
  if (process.platform !== 'linux') return 'the Docker pool works on Linux';
  if (process.getuid?.() !== 0) return 'a Docker daemon needs root';
  const missing = ['dockerd', 'docker'].filter((name) => find(name) === undefined);
  return missing.length > 0 && `there is no ${missing.join(', no ')}: on Debian, apt-get install docker.io`;
}

function find(name: string): string | undefined {
  const dirs = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];
  return dirs.map((dir) => join(dir, name)).find((path) => existsSync(path));
}

export interface TestDaemon extends AsyncDisposable {
  readonly socketPath: string;
  readonly image: string;
  readonly node: ContainerNode;
  /** The buildlet in one file. */
  readonly program: string;
  /** Its `docker` program. */
  docker(...args: readonly string[]): string;
  stop(): Promise<void>;
  start(): Promise<void>;
}

export async function startDocker(): Promise<TestDaemon> {
  const dir = await mkdtemp(join(tmpdir(), 'croft-docker-'));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }));
  const socketPath = join(dir, 'docker.sock');
  const docker = (...args: readonly string[]): string =>
    execFileSync(find('docker') ?? 'docker', ['--host', `unix://${socketPath}`, ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  const daemon = createProcess(dir, socketPath);
  stack.defer(() => daemon.stop());
  const [node, program] = await Promise.all([prepareContainerNode(join(dir, 'node')), bundle(join(dir, 'buildlet.mjs')), daemon.start()]);
  await importImage(join(dir, 'root'), (archive) => docker('import', archive, image));
  const owned = stack.move();
  return { socketPath, image, node, program, docker, ...daemon, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

function createProcess(dir: string, socketPath: string): Pick<TestDaemon, 'start' | 'stop'> {
  const flags = ['--host', `unix://${socketPath}`, '--data-root', join(dir, 'data'), '--exec-root', join(dir, 'exec')];
  const quiet = ['--pidfile', join(dir, 'pid'), '--iptables=false', '--ip-forward=false', '--bridge=none'];
  let running: ReturnType<typeof spawn> | undefined;
  return {
    async start() {
      const log = openSync(join(dir, 'log'), 'a');
      running = spawn(find('dockerd') ?? 'dockerd', [...flags, ...quiet], { stdio: ['ignore', log, log] });
      closeSync(log);
      const ended = once(running, 'exit');
      const deadline = systemClock.deadline(startMs);
      while (!(await answers(socketPath))) {
        const wait = systemClock.sleep(50, { signal: deadline });
        const exited = await Promise.race([wait.then(() => false), ended.then(() => true)]);
        if (exited) throw new Error(`dockerd did not start: ${readFileSync(join(dir, 'log'), 'utf8').slice(-2_000)}`);
      }
    },
    async stop() {
      if (running?.exitCode !== null || !running.kill('SIGTERM')) return;
      await once(running, 'exit');
    },
  };
}

async function answers(socketPath: string): Promise<boolean> {
  const { request } = await import('node:http');
  return new Promise((resolve) => {
    const asked = request({ socketPath, path: '/_ping' }, (answer) => resolve(answer.resume().statusCode === 200));
    asked.on('error', () => resolve(false)).end();
  });
}

async function bundle(outfile: string): Promise<string> {
  const main = fileURLToPath(new URL('../../../apps/buildlet/src/main.ts', import.meta.url));
  const banner = { js: "import { createRequire as makeRequire } from 'node:module';\nconst require = makeRequire(import.meta.url);" };
  await build({
    entryPoints: [main],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node26',
    banner,
    logLevel: 'silent',
  });
  return outfile;
}

/** A root file system of a few programs of this computer, and the libraries that these load. */
async function importImage(root: string, imported: (archive: string) => void): Promise<void> {
  for (const name of ['bin', 'etc', 'tmp']) await mkdir(join(root, name), { recursive: true });
  await chmod(join(root, 'tmp'), 0o1777);
  await writeFile(join(root, 'etc', 'passwd'), 'root:x:0:0:root:/root:/bin/sh\n');
  for (const name of programs) {
    const program = await realpath(find(name) ?? name);
    await copyFile(program, join(root, 'bin', name));
    for (const library of librariesOf(program)) {
      const to = join(root, library);
      await mkdir(dirname(to), { recursive: true });
      if (!existsSync(to)) await copyFile(library, to);
    }
  }
  const archive = `${root}.tar`;
  execFileSync('tar', ['-C', root, '-cf', archive, '.']);
  imported(archive);
}

function librariesOf(program: string): string[] {
  const listed = execFileSync('ldd', [program], { encoding: 'utf8' });
  return [...listed.matchAll(/(\/[^\s]+)\s+\(0x/g)].map(([, path = '']) => path);
}
