import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { silentLog } from '@croft/runtime/log';
import { FakeClock } from '@croft/runtime/testing';
import type { Waits } from '@croft/runtime/clock';
import { readEvents, type ReadEvent } from './event-reader.ts';
import { bodyOf, eventStream, type ServerEvent, type Streaming } from './event-stream.ts';
import { fakeConnection } from './testing.ts';

function setUp(): { streaming: Streaming; clock: FakeClock; stop: AbortController; cuts: number[] } {
  const clock = new FakeClock();
  const stop = new AbortController();
  const cuts: number[] = [];
  const connection = fakeConnection({ stopping: stop.signal, cut: () => void cuts.push(1) });
  return { streaming: { request: new Request('http://127.0.0.1/x'), connection, clock, log: silentLog }, clock, stop, cuts };
}

/** Goes on until its signal says stop. */
async function* silence({ signal }: Waits): AsyncGenerator<never> {
  yield await new Promise<never>((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason as Error)));
}

describe('an event stream', () => {
  test('sends events with their ids, and ends with its source', async () => {
    const response = eventStream(async function* events() {
      yield { event: 'chunk', id: '3', data: { text: 'a\nb' } };
      yield { event: 'end', data: {} };
    }, setUp().streaming);
    assert.equal(response.headers.get('content-type'), 'text/event-stream');
    assert.equal(await response.text(), 'retry: 1000\n\nevent: chunk\nid: 3\ndata: {"text":"a\\nb"}\n\nevent: end\ndata: {}\n\n');
  });

  test('is kept alive by a comment every 15 s', async () => {
    const { streaming, clock } = setUp();
    const reader = eventStream(silence, streaming).body?.getReader();
    await reader?.read();
    const beat = reader?.read();
    await clock.advance(15_000);
    assert.equal(Buffer.from((await beat)?.value ?? []).toString(), ': still here\n\n');
    await reader?.cancel();
  });

  test('ends cleanly when the server stops, so that its reader comes back', async () => {
    const { streaming, stop } = setUp();
    const text = eventStream(silence, streaming).text();
    await turn();
    stop.abort(new Error('stopping'));
    assert.equal(await text, 'retry: 1000\n\n');
  });

  test('tells its source when the reader has gone', async () => {
    const { streaming } = setUp();
    const gone = Promise.withResolvers<void>();
    const response = eventStream(async function* events(waits): AsyncGenerator<ServerEvent> {
      waits.signal?.addEventListener('abort', () => gone.resolve());
      yield { event: 'a', data: 1 };
      yield* silence(waits);
    }, streaming);
    const reader = response.body?.getReader();
    await reader?.read();
    await reader?.read();
    await reader?.cancel();
    await gone.promise;
  });
});

describe('a long body', () => {
  test('is read no faster than it is taken', async () => {
    let made = 0;
    const body = bodyOf(async function* chunks() {
      for (; made < 1000; made += 1) yield Buffer.alloc(1024);
    }, setUp().streaming);
    const reader = body.getReader();
    await reader.read();
    await turn();
    assert.ok(made <= 1, `${made} were made`);
    await reader.cancel();
  });

  test('whose source fails cuts the connection instead of looking complete', async () => {
    const { streaming, cuts } = setUp();
    const reader = bodyOf(async function* chunks() {
      yield Buffer.from('half');
      throw new Error('disk gone');
    }, streaming).getReader();
    await reader.read();
    const rest = reader.read();
    while (cuts.length === 0) await turn();
    await reader.cancel();
    assert.equal((await rest).done, true);
  });
});

test('events are read the same whatever pieces they arrive in', async () => {
  const stream =
    'retry: 1000\n\nevent: chunk\nid: 7\ndata: {"a":"é"}\n\n: still here\n\ndata: one\ndata: two\n\nevent: end\r\ndata: {}\r\n\r\n';
  const bytes = Buffer.from(stream);
  const want: ReadEvent[] = [
    { event: '', data: '', id: undefined },
    { event: 'chunk', data: '{"a":"é"}', id: '7' },
    { event: '', data: '', id: undefined },
    { event: 'message', data: 'one\ntwo', id: undefined },
    { event: 'end', data: '{}', id: undefined },
  ];
  for (let size = 1; size <= bytes.length; size += 1) {
    const got: ReadEvent[] = [];
    for await (const event of readEvents(piecesOf(bytes, size))) got.push(event);
    assert.deepEqual(got, want, `in pieces of ${size}`);
  }
});

async function* piecesOf(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
