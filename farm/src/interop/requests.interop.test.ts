/** What a client sends for each call, byte for byte, and what it makes of answers, of Go's and of ours (buildlet.md 3.4 and 3.5). */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { describe, test } from 'node:test';
import type { PeerClient } from './clients.ts';
import { goPrograms, type GoPrograms } from './go-programs.ts';
import { connectTo } from './pairings.ts';

const programs = await goPrograms({ env: process.env, progress: (line) => process.stderr.write(`${line}\n`) });
const form = 'application/x-www-form-urlencoded';

interface Sent {
  /** `METHOD PATH?QUERY`. */
  readonly line: string;
  readonly type: string | undefined;
  readonly body: string;
}

interface Call {
  readonly name: string;
  make(client: PeerClient): Promise<unknown>;
  /** Undefined when nothing is to be sent. */
  readonly sends: Sent | undefined;
}

const get = (path: string): Sent => ({ line: `GET ${path}`, type: undefined, body: '' });
const posted = (path: string, body: string): Sent => ({ line: `POST ${path}`, type: form, body });
const put = (path: string, body: string): Sent => ({ line: `PUT ${path}`, type: undefined, body });

const calls: readonly Call[] = [
  { name: 'status', make: (client) => client.status(), sends: get('/status') },
  { name: 'workDir', make: (client) => client.workDir(), sends: get('/workdir') },
  {
    name: 'list with everything',
    make: (client) => client.list('go', { recursive: true, digest: true, skip: ['pkg', 'x y'] }),
    sends: get('/ls?digest=true&dir=go&recursive=true&skip=pkg&skip=x+y'),
  },
  { name: 'list with nothing', make: (client) => client.list('.'), sends: get('/ls?digest=false&dir=.&recursive=false') },
  { name: 'getTar', make: (client) => client.getTar('go/src'), sends: get('/tgz?dir=go%2Fsrc') },
  { name: 'put', make: (client) => client.put('go/VERSION', 'devel', 0o644), sends: put('/write?mode=420&path=go%2FVERSION', 'devel') },
  { name: 'put with setuid', make: (client) => client.put('su', '', 0o4755), sends: put('/write?mode=8389101&path=su', '') },
  { name: 'putTar', make: (client) => client.putTar('go', Buffer.from('archive')), sends: put('/writetgz?dir=go', 'archive') },
  {
    name: 'putTarFromURL',
    make: (client) => client.putTarFromUrl('go1.4', 'https://host.example/x?a=b&c'),
    sends: posted('/writetgz?dir=go1.4', 'url=https%3A%2F%2Fhost.example%2Fx%3Fa%3Db%26c'),
  },
  { name: 'removeAll', make: (client) => client.removeAll('a b', 'c'), sends: posted('/removeall', 'path=a+b&path=c') },
  { name: 'removeAll of nothing', make: (client) => client.removeAll(), sends: undefined },
  {
    name: 'exec with everything',
    make: (client) =>
      client.exec('go/src/all.bash', {
        args: ['-x', 'a b'],
        env: ['A=1', 'B=2'],
        dir: 'go',
        debug: true,
        searchPath: ['$PATH', '$WORKDIR/x'],
      }),
    sends: posted(
      '/exec',
      'cmd=go%2Fsrc%2Fall.bash&cmdArg=-x&cmdArg=a+b&debug=true&dir=go&env=A%3D1&env=B%3D2&mode=&path=%24PATH&path=%24WORKDIR%2Fx',
    ),
  },
  {
    name: 'exec with a path of nothing',
    make: (client) => client.exec('/bin/true', { systemLevel: true, searchPath: [] }),
    sends: posted('/exec', 'cmd=%2Fbin%2Ftrue&debug=false&dir=&mode=sys&path=%24EMPTY'),
  },
  { name: 'close', make: (client) => client.close(), sends: { line: 'POST /halt', type: undefined, body: '' } },
];

interface Hand extends AsyncDisposable {
  readonly client: PeerClient;
  /** Without heartbeats. */
  readonly sent: readonly Sent[];
}

/** A client of a buildlet by hand. */
async function openHand(
  maker: 'Go' | 'Croft',
  given: GoPrograms,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<Hand> {
  await using stack = new AsyncDisposableStack();
  const sent: Sent[] = [];
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await text(request);
    const type = request.method === 'PUT' ? undefined : request.headers['content-type']; // of an upload it means nothing
    sent.push({ line: `${request.method} ${request.url}`, type, body });
    answer(request, response);
  };
  const server = createServer((request, response) => void serve(request, response).catch(() => response.destroy())).listen(0, '127.0.0.1');
  await once(server, 'listening');
  stack.defer(async () => {
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  });
  const client = await connectTo(`127.0.0.1:${(server.address() as AddressInfo).port}`, { maker, programs: given }, stack);
  const owned = stack.move();
  return { client, sent, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

const fine = ({ url }: IncomingMessage, response: ServerResponse): void => {
  if (url === '/status') return void response.setHeader('content-type', 'application/json').end('{"Version":25}');
  if (url === '/exec') response.writeHead(200, { Trailer: 'Process-State' }).addTrailers({ 'Process-State': 'ok' });
  response.end();
};

for (const maker of ['Go', 'Croft'] as const) {
  describe(`${maker}’s client × a buildlet by hand (${'missing' in programs ? 'Go' : programs.version})`, () => {
    for (const { name, make, sends } of calls) {
      void test(`sends ${name}`, async (t) => {
        if ('missing' in programs) return t.skip(programs.missing);
        await using hand = await openHand(maker, programs, fine);
        await make(hand.client);
        assert.deepEqual(hand.sent, sends === undefined ? [] : [sends]);
      });
    }

    const ends: readonly [string, (response: ServerResponse) => void, RegExp][] = [
      [
        'without a trailer',
        (response) => response.end('output'),
        /^missing Process-State trailer from HTTP response; buildlet built with old \(<= 1\.4\) Go\?$/,
      ],
      ['that is cut', (response) => void response.write('output', () => response.destroy()), /^error copying response: /],
      ['that refuses', (response) => response.writeHead(500).end('disk full\n'), /^500 disk full$/],
    ];
    for (const [what, answer, expected] of ends) {
      void test(`an answer of exec ${what} says nothing about the command`, async (t) => {
        if ('missing' in programs) return t.skip(programs.missing);
        await using hand = await openHand(maker, programs, (_, response) => answer(response.setHeader('trailer', 'Process-State')));
        const ended = await hand.client.exec('/bin/true', { systemLevel: true });
        assert.equal(ended.remoteError, undefined);
        assert.match(ended.execError ?? '', expected);
        assert.equal(await hand.client.isBroken(), what !== 'that refuses');
      });
    }
  });
}
