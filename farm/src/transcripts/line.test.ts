/** The reverse line of each landed version against today's other half. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { duplexPair } from 'node:stream';
import { test } from 'node:test';
import { systemClock } from '@croft/runtime/clock';
import { systemRandom } from '@croft/runtime/random';
import { createDialers } from '@croft/streams/revdial-dialer';
import { openListener } from '@croft/streams/revdial-listener';
import { requestSwitch } from '@croft/streams/revdial-switch';
import { failure, lineStatus, type Piece } from './line.ts';

const recorded = new URL('recorded/', import.meta.url);
const soon = { signal: systemClock.deadline(20_000) };

for (const file of readdirSync(recorded).filter((name) => name.startsWith('line-'))) {
  const { line } = JSON.parse(readFileSync(new URL(file, recorded), 'utf8')) as { line: readonly Piece[] };
  const version = file.replace(/^line-|\.json$/g, '');
  const said = (from: Piece['from'], kind: Piece['kind']): string[] =>
    line.filter((piece) => piece.from === from && piece.kind === kind).map(({ text }) => text);

  test(`today’s buildlet keeps the line of a coordinator of ${version}`, async () => {
    const [coordinator, control] = duplexPair();
    const heard: string[] = [];
    coordinator.on('data', (bytes: Buffer) => heard.push(bytes.toString()));
    const asked: string[] = [];
    await using listener = openListener(control, {
      peer: 'croft',
      clock: systemClock,
      async dial(path, waits) {
        asked.push(path);
        const [theirs, ours] = duplexPair();
        theirs.once('data', () => theirs.write(said('dialer', 'head').join('')));
        const answer = await requestSwitch(ours, { path }, waits);
        assert.equal(answer.get('croft-revdial'), '1');
        return ours;
      },
    });
    for (const text of said('dialer', 'line')) coordinator.write(text);
    await listener.accept(soon);
    await listener.accept(soon); // the second was refused then
    assert.deepEqual(
      asked,
      said('dialer', 'line').flatMap((text) => JSON.parse(text).connPath ?? []),
    );
    assert.ok(!heard.join('').includes('pickup-failed'), heard.join(''));
  });

  test(`today’s coordinator keeps the line of a buildlet of ${version}`, async () => {
    await using dialers = createDialers({ clock: systemClock, random: systemRandom, path: '/revdial' });
    const [near, buildlet] = duplexPair();
    const statuses: unknown[] = [];
    const dialer = dialers.open(near, { peer: 'croft', onStatus: (status) => statuses.push(status) });
    const ids = Promise.withResolvers<string>();
    buildlet.on('data', (bytes: Buffer) => {
      const [, id] = /dialer=([0-9a-f]+)/.exec(bytes.toString()) ?? [];
      if (id !== undefined) ids.resolve(id);
    });
    const dials = [dialer.dial(soon), dialer.dial(soon)];
    const id = await ids.promise;
    const [head = ''] = said('listener', 'head');
    const [, path = ''] = /^GET (\S+) HTTP\/1\.1\r\n/.exec(head.replace('ID', id)) ?? [];
    dialers.claim(new URL(path, 'http://farm').searchParams)?.deliver(duplexPair()[0]);
    for (const text of said('listener', 'line')) buildlet.write(text.replace('ID', id));
    await dials[0];
    await assert.rejects(dials[1] ?? Promise.resolve(), new RegExp(failure));
    assert.deepEqual(statuses, [lineStatus]);
  });
}
