/** Links that Go's buildlets pass over: noted on the way, made afterwards, refused where they lead out. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { systemClock } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import { packTarGz, type TarEntry } from '@croft/streams/tar-pack';
import { createFakeMachine, type FakeCall } from '../fake.ts';
import { createGoClient } from '../go-client.ts';
import { putLinks, watchLinks, type Link } from './links.ts';

async function* archive(links: readonly Link[]): AsyncGenerator<TarEntry> {
  const content = Buffer.from('text');
  yield { kind: 'file', path: Buffer.from('file'), mode: 0o644, size: content.length, mtime: 0, content };
  for (const { path, target } of links) yield { kind: 'link', path: Buffer.from(path), target: Buffer.from(target) };
}

/** What is sent on, and the links that were seen. */
async function watched(source: AsyncIterable<Uint8Array>): Promise<{ sent: Buffer; links: readonly Link[] }> {
  const watch = watchLinks(source);
  const sent = Buffer.concat(await Array.fromAsync(watch.archive));
  return { sent, links: await watch.links() };
}

test('every link is seen, and the archive is sent on byte by byte', async () => {
  const part = fc.constantFrom('a', 'b c', 'é', "it's", '$(x)', '-f');
  const path = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(path, { maxLength: 8 }), part, async (paths, target) => {
      const links = paths.map((name) => ({ path: name, target }));
      const whole = await Array.fromAsync(packTarGz(archive(links)));
      const pieces = async function* (): AsyncGenerator<Uint8Array> {
        for (const piece of whole) for (let at = 0; at < piece.length; at += 100) yield piece.subarray(at, at + 100);
      };
      assert.deepEqual(await watched(pieces()), { sent: Buffer.concat(whole), links });
    }),
    { numRuns: 30 },
  );
});

test('a link that leads out of the archive is refused, however it is written', async () => {
  const out: Link[] = [
    { path: 'a', target: '/etc' },
    { path: 'a', target: '..' },
    { path: 'a/b', target: '../../c' },
    { path: 'a', target: './x/../../y' },
  ];
  for (const link of out) await assert.rejects(watched(packTarGz(archive([link]))), (error) => isCode(error, 'invalid'), link.target);
  assert.equal((await watched(packTarGz(archive([{ path: 'a/b', target: '../c' }])))).links.length, 1);
});

test('what is no archive is sent on all the same, and told afterwards', async () => {
  const bytes = Buffer.alloc(3_000_000, 'no archive');
  const source = async function* (): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
  };
  const watch = watchLinks(source());
  assert.equal(Buffer.concat(await Array.fromAsync(watch.archive)).length, bytes.length);
  await assert.rejects(watch.links(), (error) => isCode(error, 'invalid'));
});

test('thousands of links take few commands, and a machine that cannot make them is unfit', async () => {
  const calls: FakeCall[] = [];
  const sh = (call: FakeCall): number => {
    calls.push(call);
    return 0;
  };
  using machine = createFakeMachine({ clock: systemClock, commands: { '/bin/sh': sh } });
  await using client = createGoClient(machine.address, { clock: systemClock });
  const links = Array.from({ length: 5_000 }, (_, at) => ({ path: `directory/of/links/${at}`, target: `../${at}` }));
  await putLinks(client, { dir: '/workdir', links }, {});
  assert.ok(calls.length < 10);
  assert.deepEqual(
    calls.flatMap(({ args }) => args.slice(3)),
    links.flatMap(({ path, target }) => [target, path]),
  );
  using bare = createFakeMachine({ clock: systemClock });
  await using other = createGoClient(bare.address, { clock: systemClock });
  await assert.rejects(putLinks(other, { dir: '/workdir', links: links.slice(0, 1) }, {}), (error) => isCode(error, 'exhausted'));
});
