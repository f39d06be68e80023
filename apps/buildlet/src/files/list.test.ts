/** `/ls` to the byte, against Go's format. buildlet.md 1.5; checklist 3. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { systemClock } from '@croft/runtime/clock';
import { ask, complete, shell, startMachine, type TestMachine } from '../testing.ts';
import { listing } from './list.ts';

let machine: TestMachine;
before(async () => {
  machine = await startMachine();
  const made = [
    'mkdir -p pkg "sp ace" src/a empty',
    'chmod 1777 pkg; chmod 755 "sp ace" src src/a empty',
    ': > src/a/none; chmod 600 src/a/none; touch -d 1999-12-31T23:59:59.999999999Z src/a/none',
    'printf hello > src/b; chmod 644 src/b; touch -d 2020-01-01T00:00:00Z src/b',
    'mkfifo -m 644 src/fifo; ln -s /nowhere src/lnk; ln -s src way',
    'printf x > suid; chmod 4755 suid; touch -d 1969-12-31T23:59:58.5Z suid',
    `printf x > "$(printf 'src-\\377')"; chmod 640 src-*; touch -d @1000000000 src-*`,
  ];
  await complete(machine.client, 'make', shell(made.join('\n')));
  await rm(work('tmp'), { recursive: true }); // of the command
});
after(() => machine[Symbol.asyncDispose]());

const work = (...names: string[]): string => join(machine.process.workDir, ...names);

async function list(query = ''): Promise<{ status: number; lines: string[]; type: string | undefined }> {
  const response = await open(query);
  const body = (await buffer(response)).toString('latin1');
  assert.ok(body === '' || body.endsWith('\n'));
  return { status: response.statusCode ?? 0, lines: body.split('\n').slice(0, -1), type: response.headers['content-type'] };
}

async function open(query: string): Promise<IncomingMessage> {
  const { address } = machine.process;
  const request = httpRequest({
    socketPath: address.socketPath,
    path: `/ls?${query}`,
    auth: `x:${address.password}`,
    agent: false,
    signal: systemClock.deadline(30_000),
  });
  request.end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  return response;
}

const sha1 = (text: string): string => createHash('sha1').update(text).digest('hex');

const whole = [
  'drwxr-xr-x\tempty/',
  'dtrwxrwxrwx\tpkg/',
  'drwxr-xr-x\tsp ace/',
  'drwxr-xr-x\tsrc/',
  'drwxr-xr-x\tsrc/a/',
  '-rw-------\tsrc/a/none\t0\t1999-12-31T23:59:59Z',
  '-rw-r--r--\tsrc/b\t5\t2020-01-01T00:00:00Z',
  'prw-r--r--\tsrc/fifo',
  'Lrwxrwxrwx\tsrc/lnk',
  '-rw-r-----\tsrc-\xff\t1\t2001-09-09T01:46:40Z',
  'urwxr-xr-x\tsuid\t1\t1969-12-31T23:59:58Z',
  'Lrwxrwxrwx\tway',
];

test('a line for each, in the order of the names’ bytes, whatever bytes they are', async () => {
  const { status, lines, type } = await list('recursive=true&skip=');
  assert.deepEqual([status, type], [200, 'text/plain; charset=utf-8']);
  assert.deepEqual(lines, whole);
});

test('without “recursive” directories are told and not entered; anything but Go’s words for true is false', async () => {
  const flat = whole.filter((line) => !/\tsrc\/./.test(line));
  for (const query of ['', 'recursive=0', 'recursive=yes', 'digest=TRUE&recursive=false']) {
    assert.deepEqual(
      (await list(query)).lines.map((line) => line.replace(/\t[0-9a-f]{40}$/, '')),
      flat,
    );
  }
});

test('digests are SHA-1, of files beyond any buffer as well', async () => {
  const large = 'large '.repeat(200_000);
  await writeFile(work('empty/large'), large);
  const { lines } = await list('recursive=1&digest=t');
  const digestOf = (name: string): string | undefined => lines.find((line) => line.split('\t')[1] === name)?.split('\t')[4];
  assert.deepEqual([digestOf('src/a/none'), digestOf('src/b'), digestOf('empty/large')], [sha1(''), sha1('hello'), sha1(large)]);
  assert.equal(digestOf('src/fifo'), undefined);
  await rm(work('empty/large'));
});

test('what is skipped is neither told nor entered', async () => {
  const left = whole.filter((line) => !/\t(src\/a|pkg)(\/|$)/.test(line));
  assert.deepEqual((await list('recursive=1&skip=src/a&skip=&skip=pkg&skip=b')).lines, left);
  assert.deepEqual((await list('recursive=1&dir=src&skip=a')).lines.length, 3);
});

test('the base is relative to the work directory; one that is no directory is a line without a name', async () => {
  assert.deepEqual((await list('dir=src/a')).lines, ['-rw-------\tnone\t0\t1999-12-31T23:59:59Z']);
  assert.deepEqual((await list('dir=src/b')).lines, ['-rw-r--r--\t\t5\t2020-01-01T00:00:00Z']);
  assert.deepEqual((await list('dir=way')).lines, ['Lrwxrwxrwx\t']);
  assert.deepEqual((await list('dir=way/a')).lines, ['-rw-------\tnone\t0\t1999-12-31T23:59:59Z']);
  assert.deepEqual((await list('dir=empty')).lines, []);
});

test('a failure before the first line has a status, later it cuts the connection behind what was found', async () => {
  const missing = await ask(machine.process, { path: '/ls?dir=nope' });
  assert.deepEqual([missing.status, missing.body], [500, `Walk error: lstat ${work('nope')}: no such file or directory\n`]);
  await mkdir(work('cut'));
  await Promise.all(Array.from({ length: 3_000 }, (_, at) => writeFile(work('cut', `f${at}`), '')));
  await writeFile(work('cut/z'), '');
  await truncate(work('cut/z'), 50_000_000);
  const response = await open('dir=cut&digest=1');
  assert.equal(response.statusCode, 200);
  await rm(work('cut/z'));
  await symlink('nowhere', work('cut/z')); // where the walk knows of a file, or finds a link
  const ended = await buffer(response).then(
    (body) => body.toString(),
    () => 'cut',
  );
  assert.ok(ended === 'cut' || ended.endsWith('Lrwxrwxrwx\tz\n'));
});

test('bad directories and the wrong method are refused', async () => {
  for (const dir of ['..', '/', 'a/../..', 'src/lnk/x']) {
    assert.equal((await ask(machine.process, { path: `/ls?dir=${encodeURIComponent(dir)}` })).status, 400, dir);
  }
  const posted = await ask(machine.process, { path: '/ls', method: 'POST' });
  assert.deepEqual([posted.status, posted.body], [400, 'requires GET method\n']);
});

test('names of any bytes come in the order of their bytes, each in a line of its own', async () => {
  const name = fc
    .array(fc.integer({ min: 1, max: 255 }), { minLength: 1, maxLength: 12 })
    .filter((bytes) => !bytes.includes(0x2f) && !bytes.includes(0x0a) && !['.', '..'].includes(Buffer.from(bytes).toString()))
    .map((bytes) => Buffer.from(bytes).toString('latin1'));
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(name, { maxLength: 8 }), async (names) => {
      const dir = await mkdtemp(join(tmpdir(), 'croft-names-'));
      try {
        for (const each of names) await writeFile(Buffer.from(`${dir}/${each}`, 'latin1'), each, { encoding: 'latin1', mode: 0o600 });
        const options = { recursive: true, digest: true, skip: [], signal: systemClock.deadline(10_000) };
        const lines = Buffer.concat(await Array.fromAsync(listing(dir, options)))
          .toString('latin1')
          .split('\n');
        assert.equal(lines.pop(), '');
        const inOrder = names.toSorted((a, b) => Buffer.compare(Buffer.from(a, 'latin1'), Buffer.from(b, 'latin1')));
        const found = lines.map((line) => /^-rw-------\t([^]*)\t(\d+)\t[^\t]{20}\t([0-9a-f]{40})$/.exec(line)?.slice(1));
        const expected = inOrder.map((each) => [each, String(each.length), createHash('sha1').update(each, 'latin1').digest('hex')]);
        assert.deepEqual(found, expected);
      } finally {
        await rm(dir, { recursive: true });
      }
    }),
    { numRuns: 100 },
  );
});
