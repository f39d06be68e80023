/** The reverse line of each landed version against today's other half. */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openTestDoor, type TestDoor } from '@croft-apps/coordinator/testing-door';
import { createBuildlet } from '@croft/buildlet/client';
import { systemClock } from '@croft/runtime/clock';
import { silentLog } from '@croft/runtime/log';
import { systemRandom } from '@croft/runtime/random';
import { createDialers } from '@croft/streams/revdial-dialer';
import { answerHeads, dial, eachLine, hostType, masterKey, readHead, startWorker, tls, type Piece } from './line.ts';

const recorded = new URL('recorded/', import.meta.url);
const buildletMain = fileURLToPath(new URL('../../../apps/buildlet/src/main.ts', import.meta.url));
const key = createHmac('md5', masterKey).update(hostType).digest('hex');

for (const file of readdirSync(recorded).filter((name) => name.startsWith('line-'))) {
  const { line } = JSON.parse(readFileSync(new URL(file, recorded), 'utf8')) as { line: readonly Piece[] };
  const version = file.replace(/^line-|\.json$/g, '');
  const said = (from: Piece['from'], kind: Piece['kind']): string[] =>
    line.filter((piece) => piece.from === from && piece.kind === kind).map(({ text }) => text);

  test(`today’s buildlet keeps the line of a coordinator of ${version}`, async () => {
    const picked = Promise.withResolvers<string>();
    const failed = Promise.withResolvers<string>();
    const answer = async (socket: Duplex, head: string): Promise<void> => {
      if (head.startsWith('GET /reverse ')) {
        holdsHead(said('listener', 'registration')[0], head);
        eachLine(socket, (text) => void (text.includes('pickup-failed') && failed.resolve(text)));
        socket.write(said('dialer', 'registration').join(''));
        for (const text of said('dialer', 'line')) socket.write(text);
        return;
      }
      const at = said('listener', 'pick-up').findIndex((then) => then.split(' ')[1] === head.split(' ')[1]);
      holdsHead(said('listener', 'pick-up')[at], head);
      socket.write(said('dialer', 'pick-up')[at] ?? '');
      if (at > 0) return void socket.end();
      await using client = createBuildlet({ dial: async () => socket, name: 'worker-1', password: '' }, { clock: systemClock });
      picked.resolve((await client.status({})).Croft?.boot ?? '');
    };
    await using coordinator = await answerHeads((socket, head) => answer(socket, head).catch(picked.reject));
    await using _worker = await startWorker(buildletMain, coordinator.port);
    assert.match(await inTime(picked.promise), /^[0-9a-f]{16}$/);
    const { err, ...failure } = JSON.parse(await inTime(failed.promise)) as Record<string, unknown>;
    assert.equal(typeof err, 'string'); // for people
    assert.deepEqual(failure, { command: 'pickup-failed', connPath: said('listener', 'pick-up')[1]?.split(' ')[1] });
  });

  test(`today’s coordinator keeps the line of a buildlet of ${version}`, async () => {
    await using dialers = createDialers({ clock: systemClock, random: systemRandom, path: '/revdial' });
    const received = Promise.withResolvers<Parameters<TestDoor['desk']['receive']>>();
    const desk: TestDoor['desk'] = {
      refuse: () => undefined,
      receive: (...given) => received.resolve(given),
      claim: (query) => dialers.claim(query),
    };
    await using door = await openTestDoor({ desk, tls, masterKey, port: 0, log: silentLog });
    const ask = async (head = ''): Promise<Awaited<ReturnType<typeof dial>>> => {
      const socket = await dial(door.port);
      socket.write(head);
      return socket;
    };
    const [registration = ''] = said('listener', 'registration');
    const buildlet = await ask(registration.replace('KEY', key));
    holdsHead(said('dialer', 'registration')[0], await readHead(buildlet));
    const [{ from: _, ...arrival }, control] = await inTime(received.promise);
    const told = headersOf(registration);
    const of = { version: Number(told.get('x-go-builder-version')), boot: told.get('croft-boot') };
    assert.deepEqual(arrival, { hostType, host: 'worker-1', ...of });

    const statuses: unknown[] = [];
    const dialer = dialers.open(control, { peer: 'croft', onStatus: (status) => statuses.push(status) });
    const ids = Promise.withResolvers<string>();
    eachLine(buildlet, (text) => {
      const [, id] = /dialer=([0-9a-f]+)/.exec(text) ?? [];
      if (id !== undefined) ids.resolve(id);
    });
    const soon = { signal: systemClock.deadline(20_000) };
    const dials = [dialer.dial(soon), dialer.dial(soon)] as const;
    const id = await inTime(ids.promise);
    const pickUp = await ask(said('listener', 'pick-up')[0]?.replace('ID', id));
    holdsHead(said('dialer', 'pick-up')[0], await readHead(pickUp));
    await dials[0];
    for (const text of said('listener', 'line')) buildlet.write(text.replace('ID', id));
    await assert.rejects(dials[1], /503 Service Unavailable/);
    const known = said('listener', 'line').flatMap((text) => (JSON.parse(text) as { status?: unknown }).status ?? []);
    assert.deepEqual(statuses, known);
  });
}

/** The first line, and every header that was there; of these only the form must be the same, since they tell of the machine. */
const varying = /^(x-go-builder-key|x-go-builder-version|croft-boot)$/;

function holdsHead(then = '', now: string): void {
  assert.equal(now.split('\r\n')[0], then.split('\r\n')[0]);
  const headers = headersOf(now);
  for (const [name, value] of headersOf(then)) {
    if (varying.test(name)) assert.match(headers.get(name) ?? '', /^[0-9a-f]+$/, name);
    else assert.equal(headers.get(name), value, name);
  }
}

function headersOf(head: string): Map<string, string> {
  const lines = head.trimEnd().split('\r\n').slice(1);
  return new Map(lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]));
}

async function inTime<T>(work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  systemClock.deadline(20_000).addEventListener('abort', () => late.reject(new Error('nothing within 20 s')), { once: true });
  return Promise.race([work, late.promise]);
}
