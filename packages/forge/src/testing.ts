/** Real repositories, servers and places for tests. Everything is below one temporary directory and goes with it. */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { parseRevision, type Revision } from '@croft/domain/names';
import { systemClock } from '@croft/runtime/clock';
import { unpackTarGz } from '@croft/streams/tar-unpack';
import { openMirror, type Mirror, type TreeEntry } from './git.ts';

const programs = '/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin';

export interface Place extends AsyncDisposable {
  readonly dir: string;
  /** A mirror that is disposed with the place. */
  mirror(url: string, options?: { name?: string; path?: string }): Promise<Mirror>;
  onDispose(act: () => unknown): void;
}

export function createPlace(): Place {
  const dir = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'croft-forge-')));
  const stack = new AsyncDisposableStack();
  stack.defer(() => fs.rmSync(dir, { recursive: true, force: true }));
  return {
    dir,
    async mirror(url, { name = 'mirror.git', path: search } = {}) {
      return stack.use(
        await openMirror({ dir: path.join(dir, name), url, clock: systemClock, gitHome: path.join(dir, 'git-home'), path: search }),
      );
    },
    onDispose: (act) => stack.defer(async () => void (await act())),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

export interface Repo {
  readonly dir: string;
  git(...args: string[]): string;
  /** Writes a file; a name in bytes, or as text. */
  write(name: string | Buffer, content: string | Buffer, mode?: number): void;
  /** Commits all that is there, or nothing. */
  commit(message: string): Revision;
}

export function createRepo(dir: string, ...init: string[]): Repo {
  fs.mkdirSync(dir, { recursive: true });
  const git = (...args: string[]): string => runGit(dir, args);
  git('init', '--quiet', '--initial-branch=main', ...init, '.');
  return {
    dir,
    git,
    write(name, content, mode = 0o644) {
      const at = Buffer.concat([Buffer.from(`${dir}/`), Buffer.from(name as string)]);
      fs.mkdirSync(at.subarray(0, at.lastIndexOf('/')), { recursive: true });
      fs.writeFileSync(at, content);
      fs.chmodSync(at, mode);
    },
    commit(message) {
      git('add', '--all');
      git('commit', '--quiet', '--allow-empty', `--message=${message}`);
      return parseRevision(git('rev-parse', 'HEAD'));
    },
  };
}

export function runGit(dir: string, args: string[], input?: Buffer): string {
  const who = {
    GIT_AUTHOR_NAME: 'Croft',
    GIT_AUTHOR_EMAIL: 'croft@localhost',
    GIT_COMMITTER_NAME: 'Croft',
    GIT_COMMITTER_EMAIL: 'croft@localhost',
  };
  const env = {
    PATH: programs,
    HOME: dir,
    GIT_CONFIG_NOSYSTEM: '1',
    ...who,
    GIT_AUTHOR_DATE: '1700000000 +0100',
    GIT_COMMITTER_DATE: '1700000000 +0100',
  };
  const safe = ['-c', 'safe.directory=*', '-c', 'protocol.file.allow=always'];
  const done = spawnSync('git', [...safe, ...args], { cwd: dir, env, input, encoding: 'utf8', maxBuffer: 1e8 });
  if (done.status !== 0) throw new Error(`git ${args.join(' ')}: ${done.stderr}`);
  return done.stdout.trimEnd();
}

/** Serves the repositories below a directory over HTTP, to one user only. */
export async function serveRepos(root: string, user: string): Promise<{ url: string } & AsyncDisposable> {
  const server = http.createServer((request, response) => {
    if (request.headers.authorization !== `Basic ${Buffer.from(user).toString('base64')}`) {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="repositories"' }).end();
      return;
    }
    const { pathname, search } = new URL(request.url ?? '', 'http://localhost');
    const env = {
      PATH: programs,
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: '1',
      PATH_INFO: pathname,
      QUERY_STRING: search.slice(1),
      REQUEST_METHOD: request.method,
      CONTENT_TYPE: request.headers['content-type'],
      HTTP_CONTENT_ENCODING: request.headers['content-encoding'],
      GIT_PROTOCOL: request.headers['git-protocol'] as string | undefined,
      REMOTE_USER: 'someone',
    };
    const child = spawn('git', ['-c', 'safe.directory=*', 'http-backend'], { env, stdio: ['pipe', 'pipe', 'ignore'] });
    request.pipe(child.stdin);
    void Array.fromAsync(child.stdout as AsyncIterable<Buffer>).then((pieces) => answerCgi(Buffer.concat(pieces), response));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function answerCgi(output: Buffer, response: http.ServerResponse): void {
  const end = output.indexOf('\r\n\r\n');
  const headers = output
    .toString('latin1', 0, end)
    .split('\r\n')
    .map((line) => line.split(': ', 2) as [string, string]);
  const status = headers.find(([name]) => name === 'Status')?.[1] ?? '200';
  for (const [name, value] of headers) response.setHeader(name, value);
  response.writeHead(Number.parseInt(status, 10)).end(output.subarray(end + 4));
}

export interface Node {
  readonly mode: string;
  readonly id: string;
}

/** What `git ls-tree -r` says, by path as a byte string. */
export function expectedTree(entries: readonly TreeEntry[], prefix = ''): Record<string, Node> {
  return Object.fromEntries(entries.map(({ mode, id, path: name }) => [prefix + name.toString('latin1'), { mode, id }]));
}

/** Files and links below a directory, with the ids that git would give them; empty directories have the mode `40000`. */
export function treeOnDisk(root: string, algorithm = 'sha1'): Record<string, Node> {
  const nodes: Record<string, Node> = {};
  const walk = (dir: Buffer, prefix: string): void => {
    const names = fs.readdirSync(dir, { encoding: 'buffer' });
    if (names.length === 0 && prefix !== '') nodes[prefix.slice(0, -1)] = { mode: '40000', id: '' };
    for (const name of names) {
      const at = Buffer.concat([dir, Buffer.from('/'), name]);
      const key = prefix + name.toString('latin1');
      const found = fs.lstatSync(at);
      if (found.isDirectory()) walk(at, `${key}/`);
      else
        nodes[key] = found.isSymbolicLink()
          ? node('120000', fs.readlinkSync(at, { encoding: 'buffer' }))
          : node(`100${(found.mode & 0o777).toString(8)}`, fs.readFileSync(at));
    }
  };
  const node = (mode: string, content: Buffer): Node => ({
    mode,
    id: createHash(algorithm).update(`blob ${content.length}\0`).update(content).digest('hex'),
  });
  walk(Buffer.from(root), '');
  return nodes;
}

/** Unpacks an archive below the place and returns the directory. */
export async function unpacked({ dir }: Place, archive: AsyncIterable<Buffer>): Promise<string> {
  const root = fs.mkdtempSync(path.join(dir, 'tree-'));
  await unpackTarGz(archive, root, { now: systemClock.now() });
  return root;
}
