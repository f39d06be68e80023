/** Recorded requests, byte for byte, to Go's buildlet and to ours (buildlet.md Part 6, 1 to 9). */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { SECOND, systemClock } from '@croft/runtime/clock';
import { startBuildlet, type BuildletProcess, type Maker } from './buildlets.ts';
import { goPrograms } from './go-programs.ts';
import { recorded, type Recorded } from './recorded.ts';

const programs = await goPrograms({ env: process.env, progress: (text) => process.stderr.write(`${text}\n`) });
const makers: readonly Maker[] = ['Go', 'Croft'];
const nativePaths = 26;
const answerMs = 20 * SECOND;

for (const maker of makers) {
  describe(`recorded bytes × ${maker}’s buildlet (${'missing' in programs ? 'Go' : programs.version})`, () => {
    let buildlet: BuildletProcess | undefined;
    let version = 0;
    before(async () => {
      if ('missing' in programs) return;
      buildlet = await startBuildlet(maker, { programs, env: process.env });
      version = Number(/"Version":(\d+)/.exec((await ask(buildlet, { ask: 'GET /status' })).body)?.[1]);
    });
    after(() => buildlet?.[Symbol.asyncDispose]());
    for (const exchange of recorded) {
      const differs = exchange.differs?.maker === maker ? exchange.differs : undefined;
      void test(differs ? `${exchange.name}: otherwise, because ${differs.why}` : exchange.name, async (t) => {
        if ('missing' in programs) return t.skip(programs.missing);
        const native = maker === 'Croft' || version >= nativePaths; // ours checks paths so, whatever version it tells
        const choose = <T>(either: T | readonly [T, T]): T => (Array.isArray(either) ? either[native ? 1 : 0] : either) as T;
        const asked = await ask(buildlet ?? assert.fail(), exchange);
        const said = exchange.raw ? asked : { ...asked, body: withoutChunks(asked) };
        assert.equal(said.status, differs?.status ?? choose(exchange.status), said.body);
        const answer = differs?.answer ?? choose(exchange.answer);
        if (typeof answer === 'string') assert.equal(said.body, answer);
        else assert.match(said.body, answer);
        for (const [name, value] of Object.entries(exchange.shows ?? {})) assert.equal(said.headers.get(name), value, name);
      });
    }
  });
}

interface Said {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  /** As it stood on the wire, chunks and trailers included. */
  readonly body: string;
}

async function ask(
  { address }: BuildletProcess,
  { ask: what, headers = {}, body }: Pick<Recorded, 'ask' | 'headers' | 'body'>,
): Promise<Said> {
  const [host = '', port] = address.split(':');
  const socket = connect(Number(port), host);
  socket.once('close', () => socket.destroy());
  await once(socket, 'connect', { signal: systemClock.deadline(answerMs) });
  const length = body === undefined ? {} : { 'Content-Length': String(Buffer.byteLength(body)) };
  const lines = Object.entries({ Host: address, Connection: 'close', ...length, ...headers }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  socket.write(`${what} HTTP/1.1\r\n${lines.join('')}\r\n${body ?? ''}`);
  const limit = systemClock.deadline(answerMs);
  limit.addEventListener('abort', () => socket.destroy(new Error(`${what} was not answered in ${answerMs} ms`)), { once: true });
  const text = (await buffer(socket)).toString('latin1');
  const cut = text.indexOf('\r\n\r\n');
  const [first = '', ...fields] = text.slice(0, cut).split('\r\n');
  const pairs = fields.map((line): [string, string] => [
    line.slice(0, line.indexOf(':')).toLowerCase(),
    line.slice(line.indexOf(':') + 1).trim(),
  ]);
  return { status: Number(first.split(' ')[1]), headers: new Map(pairs), body: text.slice(cut + 4) };
}

function withoutChunks({ headers, body }: Said): string {
  if (headers.get('transfer-encoding') !== 'chunked') return body;
  let [text, rest] = ['', body];
  for (let size = Number.parseInt(rest, 16); size > 0; size = Number.parseInt(rest, 16)) {
    const from = rest.indexOf('\r\n') + 2;
    text += rest.slice(from, from + size);
    rest = rest.slice(from + size + 2);
  }
  return text;
}
