/**
 * What Go's own gomotes of July 2017 and July 2022 send over v1, byte for byte as they were recorded, and what they must get for it from a real
 * machine. The clients themselves run in `npm run interop`, where their sources can be had. Labels: gomote-ssh.md 5 and 11, check 14.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { startTestBuildlet, type TestBuildlet } from '@croft/buildlet/testing';
import { systemClock } from '@croft/runtime/clock';
import { openProxyStage, testKeys, type ProxyStage } from './testing-proxy.ts';

const name = 'user-ann-linux-0';
const form = 'application/x-www-form-urlencoded';
const answerMs = 20_000;

interface Sent {
  /** In the order in which Go writes them, between `User-Agent` and `Authorization`, and behind it. */
  readonly framing?: string;
  readonly type?: string;
  readonly more?: readonly string[];
  /** Written one by one, as the client does. */
  readonly body?: readonly string[];
}

/** A head as Go's `net/http` writes it. */
function head(line: string, { framing, type, more = [] }: Sent): string {
  const basic = Buffer.from(`user-ann:${testKeys.keyOf('user-ann')}`).toString('base64');
  const lines = [
    `${line} HTTP/1.1`,
    'Host: farmer.golang.org:443',
    'User-Agent: Go-http-client/1.1',
    ...(framing === undefined ? [] : [framing]),
    `Authorization: Basic ${basic}`,
    ...(type === undefined ? [] : [`Content-Type: ${type}`]),
    ...more,
    'Accept-Encoding: gzip',
  ];
  return `${lines.join('\r\n')}\r\n\r\n`;
}

interface Answer {
  readonly status: number;
  readonly head: string;
  readonly body: Buffer;
  readonly trailer: string;
}

interface Client extends Disposable {
  /** To the coordinator itself. */
  ask(line: string, sent?: Sent): Promise<Answer>;
  /** To the machine. */
  askMachine(line: string, sent?: Sent): Promise<Answer>;
  postForm(path: string, fields: string): Promise<Answer>;
}

/** One connection, which is kept, as Go's does. */
async function openClient({ listener }: ProxyStage): Promise<Client> {
  const socket = connect(listener.port, '127.0.0.1');
  await once(socket, 'connect');
  const pieces = createReader(socket);
  const ask: Client['ask'] = async (line, sent = {}) => {
    for (const piece of [head(line, sent), ...(sent.body ?? [])]) socket.write(piece, 'latin1');
    return pieces.answer();
  };
  const proxied = [`X-Buildlet-Proxy: ${name}`];
  const askMachine: Client['ask'] = (line, sent = {}) => ask(line, { ...sent, more: proxied });
  return {
    ask,
    askMachine,
    postForm: (path, fields) => askMachine(`POST ${path}`, { framing: `Content-Length: ${fields.length}`, type: form, body: [fields] }),
    [Symbol.dispose]: () => void socket.destroy(),
  };
}

/** Reads answers as Go's client does: by their length, or chunk by chunk to the trailer. */
function createReader(socket: Socket): { answer(): Promise<Answer> } {
  let seen = Buffer.alloc(0);
  const until = async (isThere: () => number): Promise<Buffer> => {
    let length = isThere();
    while (length < 0) {
      const [piece] = (await once(socket, 'data', { signal: systemClock.deadline(answerMs) })) as [Buffer];
      seen = Buffer.concat([seen, piece]);
      length = isThere();
    }
    const taken = seen.subarray(0, length);
    seen = seen.subarray(length);
    return taken;
  };
  const upTo = (mark: string): Promise<Buffer> => until(() => (seen.includes(mark) ? seen.indexOf(mark) + mark.length : -1));
  const exactly = (length: number): Promise<Buffer> => until(() => (seen.length >= length ? length : -1));
  return {
    async answer() {
      const lines = (await upTo('\r\n\r\n')).toString('latin1');
      const status = Number(lines.split(' ')[1]);
      const length = /^content-length: (\d+)\r$/im.exec(lines)?.[1];
      if (length !== undefined) return { status, head: lines, body: await exactly(Number(length)), trailer: '' };
      assert.match(lines, /^transfer-encoding: chunked\r$/im);
      const body: Buffer[] = [];
      for (;;) {
        const size = Number.parseInt((await upTo('\r\n')).toString('latin1'), 16);
        if (size === 0) break;
        body.push((await exactly(size + 2)).subarray(0, size));
      }
      let trailer = '';
      for (let line = ''; line !== '\r\n'; trailer += line) line = (await upTo('\r\n')).toString('latin1');
      return { status, head: lines, body: Buffer.concat(body), trailer };
    },
  };
}

const said = ({ status, body }: Answer): string => `${status} ${body.toString()}`;

async function stageWith(machine: TestBuildlet, body: (client: Client) => Promise<void>): Promise<void> {
  await using stage = await openProxyStage(machine.address, { publicNames: ['farmer.golang.org'] });
  using client = await openClient(stage);
  await body(client);
}

test('of 2017: create, list, ping, put, ls, puttar, run, rm, gettar, destroy', async () => {
  await using machine = await startTestBuildlet();
  await stageWith(machine, async (client) => {
    const wish = 'builderType=linux&version=20160922';
    const created = await client.ask('POST /buildlet/create', { framing: `Content-Length: ${wish.length}`, type: form, body: [wish] });
    assert.match(said(created), /^200 \{"User":"user-ann","Name":"user-ann-linux-1",/);
    assert.match(created.head, /^x-supported-version: 20191119\r$/im);
    assert.match(said(await client.ask('GET /buildlet/list')), /^200 \[\n[^]*"Name": "user-ann-linux-0"/);
    assert.equal(said(await client.askMachine('GET /workdir')), `200 ${machine.workDir}`);
    await tryFiles(machine, client);
    await tryCommands(machine, client);
    assert.equal(said(await client.askMachine('POST /halt', { framing: 'Content-Length: 0' })), '200 ');
    assert.equal(said(await client.askMachine('GET /workdir')), '502 unknown or expired buildlet\n');
  });
});

test('of 2022: create as a stream, a heartbeat beside the command, all else as in 2017', async () => {
  await using machine = await startTestBuildlet();
  await stageWith(machine, async (client) => {
    const wish = 'builderType=linux&version=20191119';
    const created = await client.ask('POST /buildlet/create', { framing: `Content-Length: ${wish.length}`, type: form, body: [wish] });
    const lines = created.body.toString().trimEnd().split('\n');
    assert.match(lines.at(-1) ?? '', /^\{"buildlet":\{"User":"user-ann","Name":"user-ann-linux-1",/);
    assert.match(said(await client.askMachine('GET /status')), /^200 \{"Version":\d+/);
    await tryFiles(machine, client);
    await tryCommands(machine, client, '&env=GO_DISABLE_OUTBOUND_NETWORK%3Dfalse');
    assert.equal(said(await client.askMachine('POST /halt', { framing: 'Content-Length: 0' })), '200 ');
  });
});

async function tryFiles(machine: TestBuildlet, client: Client): Promise<void> {
  const put = { framing: 'Transfer-Encoding: chunked', body: ['5\r\nhello\r\n', '0\r\n\r\n'] };
  assert.equal((await client.askMachine('PUT /write?mode=420&path=a+b%2Fc', put)).status, 200);
  assert.equal(await readFile(join(machine.workDir, 'a b/c'), 'utf8'), 'hello');
  const flat = await client.askMachine('GET /ls?digest=false&dir=.&recursive=false&skip=');
  assert.match(said(flat), /^200 drwx\S+\ta b\/\n$/);
  const deep = await client.askMachine('GET /ls?digest=true&dir=.&recursive=true&skip=a&skip=b');
  assert.match(said(deep), /^200 drwx\S+\ta b\/\n-rw-r--r--\ta b\/c\t5\t\S+\taaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d\n$/);

  const archive = await client.askMachine('GET /tgz?dir=a+b');
  assert.match(gunzipSync(archive.body).toString('latin1'), /^c\0[^]*hello\0/);
  using served = await serve(archive.body);
  const fromUrl = `url=${encodeURIComponent(served.url)}`;
  assert.equal((await client.postForm('/writetgz?dir=d', fromUrl)).status, 200);
  assert.equal(await readFile(join(machine.workDir, 'd/c'), 'utf8'), 'hello');
  const chunk = archive.body.toString('latin1');
  const push = { framing: 'Transfer-Encoding: chunked', body: [`${archive.body.length.toString(16)}\r\n`, chunk, '\r\n', '0\r\n\r\n'] };
  assert.equal((await client.askMachine('PUT /writetgz?dir=go', push)).status, 200);
  assert.equal(await readFile(join(machine.workDir, 'go/c'), 'utf8'), 'hello');
  assert.equal(said(await client.postForm('/removeall', 'path=a+b&path=d')), '200 ');
  assert.match(said(await client.askMachine('GET /ls?digest=false&dir=.&recursive=false&skip=')), /^200 drwx\S+\tgo\/\n$/);
}

/** @param more variables that this client adds as its last */
async function tryCommands(machine: TestBuildlet, client: Client, more = ''): Promise<void> {
  await writeFile(join(machine.workDir, 'go/all.bash'), '#!/bin/sh\npwd; echo "$@|$A|$B|$PATH"; printf "%%d \\0\\377"\n', { mode: 0o755 });
  const asked = 'cmd=go%2Fall.bash&cmdArg=-v&debug=false&dir=&env=GO_BUILDER_NAME%3Dlinux&env=A%3Db+c&env=B%3D1';
  const ran = await client.postForm('/exec', `${asked}${more}&mode=&path=%24WORKDIR%2Fbin&path=%24PATH`);
  const path = `${machine.workDir}/bin:`;
  assert.ok(ran.body.toString('latin1').startsWith(`${machine.workDir}/go\n-v|b c|1|${path}`), ran.body.toString());
  assert.ok(ran.body.toString('latin1').endsWith('\n%d \0\xff'));
  assert.match(ran.trailer, /^process-state: ok\r$/im);
  const bare = await client.postForm(
    '/exec',
    'cmd=%2Fbin%2Fsh&cmdArg=-c&cmdArg=echo+%5B%24PATH%5D%3B+exit+3&debug=false&dir=&env=GO_BUILDER_NAME%3Dlinux&mode=sys&path=%24EMPTY',
  );
  assert.equal(said(bare), '200 []\n');
  assert.match(bare.trailer, /^process-state: exit status 3\r$/im);
}

/** An archive at an address that the machine can reach. */
async function serve(body: Buffer): Promise<{ readonly url: string } & Disposable> {
  const server = createServer((_, response) => void response.end(body)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/a.tar.gz`,
    [Symbol.dispose]() {
      server.closeAllConnections();
      server.close();
    },
  };
}
