/** Recorded requests, byte for byte, to Go's buildlet and to ours (buildlet.md Part 6, 1 to 9). */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { SECOND, systemClock } from '@croft/runtime/clock';
import { startBuildlet, type BuildletProcess, type Maker } from './buildlets.ts';
import { goPrograms } from './go-programs.ts';
import { password, recorded, recordedLocked, type Recorded } from './recorded.ts';

const programs = await goPrograms({ env: process.env, progress: (text) => process.stderr.write(`${text}\n`) });
const makers: readonly Maker[] = ['Go', 'Croft'];
const nativePaths = 26;
const answerMs = 20 * SECOND;

for (const maker of makers) {
  const name = `recorded bytes × ${maker}’s buildlet (${'missing' in programs ? 'Go' : programs.version})`;
  describe(name, () => exchangesWith(maker, recorded, {}));
  describe(`${name}, with a password`, () => exchangesWith(maker, recordedLocked, { META_password: password }));
  void test(`${name}: /halt is answered, what only reads is served for a second, and the buildlet ends`, async (t) => {
    if ('missing' in programs) return t.skip(programs.missing);
    await using buildlet = await startBuildlet(maker, { programs, env: process.env });
    assert.deepEqual(await ask(buildlet, { ask: 'POST /halt' }).then(({ status, body }) => [status, body]), [200, '']);
    assert.equal((await ask(buildlet, { ask: 'GET /status' })).status, 200);
    assert.equal(await buildlet.ended, 0);
  });
}

function exchangesWith(maker: Maker, exchanges: readonly Recorded[], more: Record<string, string>): void {
  let buildlet: BuildletProcess | undefined;
  let version = 0;
  before(async () => {
    if ('missing' in programs) return;
    buildlet = await startBuildlet(maker, { programs, env: process.env, more });
    const headers = { Authorization: `Basic ${Buffer.from(`:${more['META_password'] ?? ''}`).toString('base64')}` };
    version = Number(/"Version":(\d+)/.exec((await ask(buildlet, { ask: 'GET /status', headers })).body)?.[1]);
  });
  after(() => buildlet?.[Symbol.asyncDispose]());
  for (const exchange of exchanges) {
    void test(exchange.name, async (t) => {
      if ('missing' in programs) return t.skip(programs.missing);
      const native = maker === 'Croft' || version >= nativePaths; // ours checks paths so, whatever version it tells
      const choose = <T>(either: T | readonly [T, T]): T => (Array.isArray(either) ? either[native ? 1 : 0] : either) as T;
      const asked = await ask(buildlet ?? assert.fail(), exchange);
      const said = exchange.raw ? asked : { ...asked, body: withoutChunks(asked) };
      assert.equal(said.status, choose(exchange.status), said.body);
      const answer = choose(exchange.answer);
      if (typeof answer === 'string') assert.equal(said.body, answer);
      else assert.match(said.body, answer);
      for (const [header, value] of Object.entries(exchange.shows ?? {})) assert.equal(said.headers.get(header), value, header);
    });
  }
}

interface Said {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  /** As it stood on the wire, chunks and trailers included. */
  readonly body: string;
}

async function ask(
  { address }: BuildletProcess,
  { ask: what, version = '1.1', headers = {}, body }: Pick<Recorded, 'ask' | 'version' | 'headers' | 'body'>,
): Promise<Said> {
  const [host = '', port] = address.split(':');
  const socket = connect(Number(port), host);
  socket.once('close', () => socket.destroy());
  await once(socket, 'connect', { signal: systemClock.deadline(answerMs) });
  const length = body === undefined ? {} : { 'Content-Length': String(Buffer.byteLength(body)) };
  const lines = Object.entries({ Host: address, Connection: 'close', ...length, ...headers }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  socket.write(`${what} HTTP/${version}\r\n${lines.join('')}\r\n${body ?? ''}`);
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
