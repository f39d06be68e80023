/**
 * What each call of a buildlet's client comes to, whoever made the client, the buildlet and the line between them (buildlet.md 1
 * and 3). One list, run unchanged in every pairing; where Go and Croft differ on purpose a test says so and asserts both.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { link, mkdir, mkdtempDisposable, readdir, readFile, readlink, stat, utimes, writeFile, chmod, symlink } from 'node:fs/promises';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { makeRepo } from '../testing-repo.ts';
import { until } from '../testing-waiting.ts';
import type { BuildletProcess } from './buildlets.ts';
import type { PeerClient } from './clients.ts';

export interface Ground extends AsyncDisposable {
  readonly client: PeerClient;
  readonly buildlet: BuildletProcess;
}

const run = promisify(execFile);
const waitMs = 20_000;
/** From here on Go's buildlet checks paths as ours does. */
const nativePaths = 26;

/** @param open why there is nothing to run, or a client whose calls reach the buildlet */
export function callsContract(pairing: string, open: () => Promise<Ground | { readonly missing: string }>): void {
  describe(pairing, () => {
    let ground: Ground | { readonly missing: string } = { missing: 'it did not open' };
    before(async () => {
      ground = await open();
    });
    after(async () => {
      if ('client' in ground) await ground[Symbol.asyncDispose]();
    });
    const check = (name: string, body: (peers: Ground & { dir: string }, t: TestContext) => Promise<void>): void => {
      void test(name, async (t) => {
        if ('missing' in ground) return t.skip(ground.missing);
        const dir = `case-${(cases += 1)}`;
        await mkdir(join(ground.buildlet.workDir, dir));
        await body({ ...ground, dir }, t);
      });
    };
    let cases = 0;
    machineCalls(check);
    fileCalls(check);
    archiveCalls(check);
    listCalls(check);
    execCalls(check);
  });
}

type Check = (name: string, body: (peers: Ground & { dir: string }, t: TestContext) => Promise<void>) => void;

function machineCalls(check: Check): void {
  check('status tells a version that Go’s coordinator takes', async ({ client }) => {
    assert.ok((await client.status()) >= 25);
  });

  check('workDir is the absolute path', async ({ client, buildlet }) => {
    assert.equal(await client.workDir(), buildlet.workDir);
  });
}

function fileCalls(check: Check): void {
  check('put writes a file with its mode, also over one that was there, and makes directories', async ({ client, buildlet, dir }) => {
    const file = (name: string): string => join(buildlet.workDir, dir, 'new', name);
    const mode = async (name: string): Promise<number> => (await stat(file(name))).mode & 0o7777;
    for (const [name, asked] of [
      ['plain', 0o644],
      ['program', 0o755],
      ['setuid', 0o4755],
    ] as const) {
      await client.put(`${dir}/new/${name}`, name, asked);
      assert.equal(await mode(name), asked, name);
    }
    await client.put(`${dir}/new/plain`, 'again', 0o755);
    assert.equal(await mode('plain'), 0o755);
    assert.equal(await readFile(file('plain'), 'utf8'), 'again');
  });

  check('put refuses a path that leaves the work directory', async ({ client }) => {
    const reason = /^400 (bad path|invalid 'path' parameter: path "..\/x" refers to a parent directory)$/;
    await assert.rejects(client.put('../x', '', 0o644), says(reason));
  });

  check(
    'removeAll removes trees, also those that may not be written, and does not mind what is not there',
    async ({ client, buildlet, dir }) => {
      const base = join(buildlet.workDir, dir);
      await mkdir(join(base, 'locked/deep'), { recursive: true });
      await writeFile(join(base, 'locked/deep/file'), '');
      await chmod(join(base, 'locked/deep'), 0o555);
      await writeFile(join(base, 'stays'), '');
      await client.removeAll(`${dir}/locked`, `${dir}/nothing`);
      assert.deepEqual(await readdir(base), ['stays']);
    },
  );

  check('removeAll checks every path before it removes any', async ({ client, buildlet, dir }) => {
    await writeFile(join(buildlet.workDir, dir, 'stays'), '');
    await assert.rejects(client.removeAll(`${dir}/stays`, '../never'), says(/^400 /));
    assert.deepEqual(await readdir(join(buildlet.workDir, dir)), ['stays']);
  });
}

function archiveCalls(check: Check): void {
  check('a tree comes back as it went: names, bytes, modes and times', async ({ client, dir }) => {
    await using source = await sampleTree();
    await client.putTar(`${dir}/tree`, await pack(source.path));
    await using back = await mkdtempDisposable(join(tmpdir(), 'croft-interop-'));
    await unpack(await client.getTar(`${dir}/tree`), back.path);
    assert.deepEqual(await describeTree(back.path), await describeTree(source.path));
  });

  check('a link inside the tree: Go leaves it out, Croft keeps it', async ({ client, buildlet, dir }) => {
    await using source = await mkdtempDisposable(join(tmpdir(), 'croft-interop-'));
    await writeFile(join(source.path, 'target'), 'x');
    await symlink('target', join(source.path, 'link'));
    await client.putTar(dir, await pack(source.path));
    const names = (await readdir(join(buildlet.workDir, dir))).toSorted();
    assert.deepEqual(names, buildlet.maker === 'Go' ? ['target'] : ['link', 'target']);
    if (buildlet.maker === 'Croft') assert.equal(await readlink(join(buildlet.workDir, dir, 'link')), 'target');
  });

  check('several gzip members are one archive', async ({ client, buildlet, dir }) => {
    await using source = await sampleTree();
    const tar = await pack(source.path, ['-c']);
    const cut = tar.length >> 1;
    await client.putTar(dir, Buffer.concat([gzipSync(tar.subarray(0, cut)), gzipSync(tar.subarray(cut))]));
    assert.deepEqual(await describeTree(join(buildlet.workDir, dir)), await describeTree(source.path));
  });

  check('what is no archive is refused with the reason', async ({ client, dir }) => {
    await assert.rejects(
      client.putTar(dir, Buffer.from('no gzip at all')),
      says(/^400 requires gzip-compressed body: gzip: invalid header$/),
    );
    await assert.rejects(client.putTar(dir, Buffer.alloc(0)), says(/^400 requires gzip-compressed body: EOF$/));
    await assert.rejects(client.putTar(dir, gzipSync(Buffer.from('not a tar').toString().repeat(200))), says(/^400 tar error: /));
    await client.putTar(dir, gzipSync(Buffer.alloc(0)));
  });

  check('an archive as git makes it, with its global header, is taken', async ({ client, buildlet, dir }) => {
    await using repo = await makeRepo({ 'a/file': 'content\n', tool: { executable: '#!/bin/sh\n' } });
    const archive = await run('git', ['-C', repo.dir, 'archive', '--format=tar.gz', 'HEAD'], { encoding: 'buffer' });
    await client.putTar(dir, archive.stdout);
    const mode = async (name: string): Promise<number> => (await stat(join(buildlet.workDir, dir, name))).mode & 0o111;
    assert.deepEqual([await mode('a/file'), (await mode('tool')) !== 0], [0, true]);
    assert.deepEqual((await readdir(join(buildlet.workDir, dir))).toSorted(), ['a', 'tool']);
  });

  check('a time to come is the time of unpacking, a time of 0 stays', async ({ client, buildlet, dir }) => {
    await using source = await mkdtempDisposable(join(tmpdir(), 'croft-interop-'));
    for (const [name, time] of [
      ['future', 4_000_000_000],
      ['epoch', 0],
    ] as const) {
      await writeFile(join(source.path, name), name);
      await utimes(join(source.path, name), time, time);
    }
    await client.putTar(dir, await pack(source.path));
    const timeOf = async (name: string): Promise<number> => (await stat(join(buildlet.workDir, dir, name))).mtimeMs;
    assert.equal(await timeOf('epoch'), 0);
    assert.ok((await timeOf('future')) < 4_000_000_000_000);
  });

  check('a hard link: Go makes an empty file of it, Croft a link', async ({ client, buildlet, dir }) => {
    await using source = await mkdtempDisposable(join(tmpdir(), 'croft-interop-'));
    await writeFile(join(source.path, 'a'), 'content');
    await link(join(source.path, 'a'), join(source.path, 'b'));
    await client.putTar(dir, await pack(source.path, ['-cz'], ['a', 'b']));
    assert.equal(await readFile(join(buildlet.workDir, dir, 'b'), 'utf8'), buildlet.maker === 'Go' ? '' : 'content');
  });

  check('a fifo in an archive is refused by name and kind', async ({ client, dir }) => {
    await using source = await mkdtempDisposable(join(tmpdir(), 'croft-interop-'));
    await run('mkfifo', [join(source.path, 'ff')]);
    const archive = await pack(source.path, ['-cz'], ['ff']);
    await assert.rejects(client.putTar(dir, archive), says(/^400 tar file entry ff contained unsupported file type prw-r--r--$/));
  });

  check('go1.4 is fetched once', async ({ client, buildlet }) => {
    await using source = await sampleTree();
    await using files = await serveFile(await pack(source.path));
    await client.putTarFromUrl('go1.4', `${files.url}/tree.tar.gz`);
    await client.putTarFromUrl('go1.4', `${files.url}/none`);
    assert.ok((await readdir(join(buildlet.workDir, 'go1.4'))).includes('go'));
  });

  check('a name that leaves the directory is refused, and nothing is written outside', async ({ client, buildlet, dir }) => {
    await using source = await mkdtempDisposable(join(tmpdir(), 'croft-interop-'));
    await writeFile(join(source.path, 'escaped'), 'x');
    const archive = await pack(source.path, ['-cz', '--transform=s,^,../,', '--absolute-names'], ['escaped']);
    await assert.rejects(client.putTar(`${dir}/below`, archive), says(/^400 tar file contained invalid name "..\/escaped"/));
    assert.ok(!(await readdir(join(buildlet.workDir, dir))).includes('escaped'));
  });

  check('putTarFromURL fetches by itself, and says when it got none', async ({ client, buildlet, dir }) => {
    await using source = await sampleTree();
    await using files = await serveFile(await pack(source.path));
    await client.putTarFromUrl(dir, `${files.url}/tree.tar.gz`);
    assert.deepEqual(await describeTree(join(buildlet.workDir, dir)), await describeTree(source.path));
    const reason = /^500 writetgz: fetching provided URL "http:.*\/none": 404 Not Found$/;
    await assert.rejects(client.putTarFromUrl(dir, `${files.url}/none`), says(reason));
  });
}

function listCalls(check: Check): void {
  check('list gives each line to the byte, in the order of bytes, with digests', async ({ client, buildlet, dir }) => {
    const base = join(buildlet.workDir, dir);
    await mkdir(join(base, 'src/a'), { recursive: true });
    await mkdir(join(base, 'pkg'));
    await writeFile(join(base, 'src/a/empty'), '', { mode: 0o600 });
    await writeFile(join(base, 'src.txt'), 'abc');
    await writeFile(join(base, 'suid'), 'x');
    await chmod(join(base, 'suid'), 0o4755);
    await chmod(join(base, 'pkg'), 0o1777);
    await symlink('a', join(base, 'src/lnk'));
    await run('mkfifo', [join(base, 'src/fifo')]);
    for (const name of ['src/a/empty', 'src.txt', 'suid']) await utimes(join(base, name), 946_684_799, 946_684_799.9);
    const lines = async (options: object): Promise<string[]> => (await client.list(dir, options)).map(({ line }) => line);
    assert.deepEqual(await lines({ recursive: true, digest: true }), [
      'dtrwxrwxrwx\tpkg/',
      'drwxr-xr-x\tsrc/',
      'drwxr-xr-x\tsrc/a/',
      '-rw-------\tsrc/a/empty\t0\t1999-12-31T23:59:59Z\tda39a3ee5e6b4b0d3255bfef95601890afd80709',
      'prw-r--r--\tsrc/fifo',
      'Lrwxrwxrwx\tsrc/lnk',
      '-rw-r--r--\tsrc.txt\t3\t1999-12-31T23:59:59Z\ta9993e364706816aba3e25717850c26c9cd0d89d',
      'urwxr-xr-x\tsuid\t1\t1999-12-31T23:59:59Z\t11f6ad8ec52a2984abaafd7c3b516503785c2072',
    ]);
    assert.deepEqual(await lines({}), [
      'dtrwxrwxrwx\tpkg/',
      'drwxr-xr-x\tsrc/',
      '-rw-r--r--\tsrc.txt\t3\t1999-12-31T23:59:59Z',
      'urwxr-xr-x\tsuid\t1\t1999-12-31T23:59:59Z',
    ]);
    assert.deepEqual(
      (await client.list(dir, { recursive: true, skip: ['src/a', 'pkg', ''] })).map(({ name }) => name),
      ['src/', 'src/fifo', 'src/lnk', 'src.txt', 'suid'],
    );
    const [first] = await client.list(dir);
    assert.deepEqual([first?.name, first?.isDir, first?.digest], ['pkg/', true, '']);
  });

  check('list of what is not there says so', async ({ client, dir }) => {
    await assert.rejects(client.list(`${dir}/none`), says(/^500 Walk error: lstat .*\/none: no such file or directory$/));
  });
}

function execCalls(check: Check): void {
  const shell = (script: string): { systemLevel: true; args: string[] } => ({ systemLevel: true, args: ['-c', script] });

  check('exec tells success and the status of a failure apart, with the output of both streams in order', async ({ client }) => {
    const script = 'for i in 1 2 3; do echo out $i; echo err $i >&2; done';
    const output = 'out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n';
    assert.deepEqual(await client.exec('/bin/sh', shell(script)), { started: true, output, timedOut: false });
    const failed = await client.exec('/bin/sh', shell('echo hi; exit 3'));
    assert.deepEqual(failed, { started: true, output: 'hi\n', remoteError: 'exit status 3', timedOut: false });
    assert.equal((await client.exec('/bin/sh', shell('kill -9 $$'))).remoteError, 'signal: killed');
    assert.equal((await client.exec('/bin/sh', shell('kill -15 $$'))).remoteError, 'signal: terminated');
  });

  check('exec gives arguments as they are, one by one', async ({ client }) => {
    const args = ['-c', 'for a; do printf "<%s>" "$a"; done', 'sh', '', 'a b', '$PATH', 'é&=+%', '-x'];
    assert.equal((await client.exec('/bin/sh', { systemLevel: true, args })).output, '<><a b><$PATH><é&=+%><-x>');
  });

  check('exec runs a program of the work directory in its own directory', async ({ client, buildlet, dir }) => {
    await client.put(`${dir}/tool`, '#!/bin/sh\npwd; echo "$PWD"\n', 493);
    const place = join(buildlet.workDir, dir);
    assert.equal((await client.exec(`${dir}/tool`)).output, `${place}\n${place}\n`);
    await mkdir(join(place, 'elsewhere'));
    assert.equal((await client.exec(`${dir}/tool`, { dir: `${dir}/elsewhere` })).output, `${place}/elsewhere\n${place}/elsewhere\n`);
  });

  check('exec at system level works in the work directory', async ({ client, buildlet }) => {
    assert.equal((await client.exec('/bin/sh', shell('pwd'))).output, `${buildlet.workDir}\n`);
  });

  check('exec: the last of equal names counts, and the temporary directory is the buildlet’s', async ({ client, buildlet }) => {
    const env = ['WHO=first', 'WHO=second', 'TMPDIR=/nowhere', 'GOCACHE=/nowhere'];
    const script = 'echo "$WHO $TMPDIR $GOCACHE $WORKDIR $GOROOT_BOOTSTRAP"';
    const w = buildlet.workDir;
    assert.equal((await client.exec('/bin/sh', { ...shell(script), env })).output, `second ${w}/tmp ${w}/gocache ${w} ${w}/go1.4\n`);
  });

  check('exec: a path replaces PATH, with what it names put in', async ({ client, buildlet }) => {
    const env = ['PATH=/bin:/usr/bin'];
    const script = 'echo "$PATH"';
    const w = buildlet.workDir;
    const vectors: readonly [readonly string[], string][] = [
      [['$PATH'], '/bin:/usr/bin'],
      [['$WORKDIR/go/bin', '$PATH'], `${w}/go/bin:/bin:/usr/bin`],
      [['/a', '$PATH', 'x$WORKDIRy'], `/a:/bin:/usr/bin:x${w}y`],
      [['$$PATH'], '$/bin:/usr/bin'],
      [['$EMPTY', '/a', ''], '/a'],
      [[], ''],
    ];
    for (const [searchPath, expected] of vectors) {
      assert.equal((await client.exec('/bin/sh', { ...shell(script), env, searchPath })).output, `${expected}\n`, searchPath.join());
    }
  });

  check('exec with debug says first what it runs', async ({ client, buildlet }) => {
    const { output } = await client.exec('/bin/echo', { systemLevel: true, debug: true, args: ['a b'], env: ['K=V'] });
    assert.match(output, /^:: Running \/bin\/echo with args \["\/bin\/echo" "a b"\] and env \[.*"K=V".*\] in dir /);
    assert.ok(output.endsWith(` in dir ${buildlet.workDir}\n\na b\n`), output);
  });

  check('exec of what cannot be started is an answer with the reason, not a lost connection', async ({ client, buildlet, dir }) => {
    const none = await client.exec(`${dir}/none`);
    assert.equal(none.remoteError, `fork/exec ${buildlet.workDir}/${dir}/none: no such file or directory`);
    assert.equal(none.started, true);
    await client.put(`${dir}/text`, 'x', 420);
    assert.equal((await client.exec(`${dir}/text`)).remoteError, `fork/exec ${buildlet.workDir}/${dir}/text: permission denied`);
    const nowhere = await client.exec('/bin/true', { systemLevel: true, dir: `${dir}/none` });
    assert.equal(nowhere.remoteError, `chdir ${buildlet.workDir}/${dir}/none: no such file or directory`);
  });

  check('exec of a bare name that is nowhere: a state before version 26, a refusal since', async ({ client }) => {
    const ended = await client.exec('no-such-program', { systemLevel: true });
    if ((await client.status()) < nativePaths)
      assert.equal(ended.remoteError, 'exec: "no-such-program": executable file not found in $PATH');
    else assert.match(ended.execError ?? '', /^422 invalid 'cmd' parameter: .*command "no-such-program" not found/);
  });

  check('exec without a command is refused', async ({ client }) => {
    const ended = await client.exec('');
    assert.equal(ended.started, false);
    assert.match(ended.execError ?? '', /^400 .*requires 'cmd' parameter$/);
  });

  check('exec gives output while the command runs', async ({ client, buildlet, dir }) => {
    const go = join(buildlet.workDir, dir, 'go');
    const options = {
      ...shell(`echo ready; while ! test -e ${go}; do sleep 0.05; done; echo done`),
      onOutput: () => void writeFile(go, ''),
    };
    assert.equal((await client.exec('/bin/sh', options)).output, 'ready\ndone\n');
  });

  check('exec: several at once do not wait for each other', async ({ client, buildlet, dir }) => {
    const place = join(buildlet.workDir, dir);
    const meet = (mine: string, other: string): Promise<{ output: string }> =>
      client.exec('/bin/sh', shell(`: > ${place}/${mine}; until test -e ${place}/${other}; do sleep 0.05; done; echo met`));
    const ends = await Promise.all([meet('a', 'b'), meet('b', 'c'), meet('c', 'a')]);
    assert.deepEqual(
      ends.map(({ output }) => output),
      ['met\n', 'met\n', 'met\n'],
    );
  });

  check(
    'a child that outlives its command: Go waits for what it has to say, Croft ends it with the command',
    async ({ client, buildlet }) => {
      const { output } = await client.exec('/bin/sh', shell('(sleep 0.4; echo late) & echo early'));
      assert.equal(output, buildlet.maker === 'Go' ? 'early\nlate\n' : 'early\n');
    },
  );

  check('a command whose client goes away is killed; of its children only Croft’s', async ({ client, buildlet, dir }) => {
    const pids = join(buildlet.workDir, dir, 'pids');
    const leaving = new AbortController();
    const script = `sleep 300 >/dev/null 2>&1 & echo $! > ${pids}; echo $$ >> ${pids}; echo ready; wait`;
    const ended = client.exec('/bin/sh', { ...shell(script), signal: leaving.signal, onOutput: () => leaving.abort() });
    const { execError, remoteError } = await ended;
    // Over TLS Go's client may still read how it ended, after it has said that it goes.
    assert.ok(execError ?? remoteError === 'signal: killed', `it ended with ${remoteError}`);
    const [child = '', parent = ''] = (await readFile(pids, 'utf8')).split('\n');
    await until(() => !isAlive(parent), { what: 'the command to be gone', limitMs: waitMs });
    if (buildlet.maker === 'Croft') await until(() => !isAlive(child), { what: 'its child to be gone', limitMs: waitMs });
    else {
      assert.ok(isAlive(child), 'Go kills the command alone');
      process.kill(Number(child), 'SIGKILL');
    }
  });
}

/** A refusal with this status and text. */
function says(text: RegExp): { message: RegExp } {
  return { message: text };
}

async function sampleTree(): Promise<{ path: string } & AsyncDisposable> {
  const tree = await mkdtempDisposable(join(tmpdir(), 'croft-interop-'));
  const files: Record<string, [string | Buffer, number]> = {
    'go/VERSION': ['devel', 0o644],
    'go/src/all.bash': ['#!/bin/sh\n', 0o755],
    'go/src/empty': ['', 0o600],
    'go/src/sp ace/é': ['ü', 0o640],
    [`go/${'long/'.repeat(30)}${'n'.repeat(120)}`]: ['long', 0o644],
    'go/big': [Buffer.alloc(3 * 1024 * 1024, 'croft and go '), 0o644],
  };
  for (const [name, [content, mode]] of Object.entries(files)) {
    const path = join(tree.path, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content, { mode });
    await chmod(path, mode);
    await utimes(path, 1_500_000_000, 1_500_000_000);
  }
  await mkdir(join(tree.path, 'go/nothing'));
  return tree;
}

/** A line of each thing below `root`: kind, mode and time of files, bytes. */
async function describeTree(root: string): Promise<string[]> {
  const names = (await readdir(root, { recursive: true })).toSorted();
  const lines: string[] = [];
  for (const name of names) {
    const found = await stat(join(root, name));
    if (found.isDirectory()) lines.push(`${name}/`);
    else
      lines.push(
        `${name} ${(found.mode & 0o7777).toString(8)} ${found.mtimeMs} ${(await readFile(join(root, name))).toString('base64url').slice(0, 60)} ${found.size}`,
      );
  }
  return lines;
}

async function pack(dir: string, how: readonly string[] = ['-cz'], names: readonly string[] = ['.']): Promise<Buffer> {
  return (await run('tar', ['-C', dir, ...how, '-f', '-', ...names], { encoding: 'buffer', maxBuffer: 2 ** 28 })).stdout;
}

async function unpack(archive: Buffer, dir: string): Promise<void> {
  await using place = await mkdtempDisposable(join(tmpdir(), 'croft-interop-'));
  await writeFile(join(place.path, 'archive'), archive);
  await run('tar', ['-C', dir, '-xpzf', join(place.path, 'archive')]);
}

async function serveFile(body: Buffer): Promise<{ url: string } & AsyncDisposable> {
  const server = createServer((request, response) => {
    if (request.url === '/tree.tar.gz') response.end(body);
    else response.writeHead(404).end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function isAlive(pid: string): boolean {
  try {
    process.kill(Number(pid), 0);
    return true;
  } catch {
    return false;
  }
}
