/** What every blob store does, wherever it keeps its bytes. Each kind runs this suite on real storage. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { sha256Hex } from '@croft/runtime/digest';
import { isCode } from '@croft/runtime/errors';
import type { FakeClock } from '@croft/runtime/testing';
import type { BlobStore } from './blobs.ts';

export interface BlobStage extends AsyncDisposable {
  readonly clock: FakeClock;
  /** The store as another process would open it, over the same bytes. */
  open(): Promise<BlobStore>;
}

const maxBytes = 1e9;
const nothing = async (): Promise<Set<string>> => new Set();

export function blobContract(name: string, openStage: () => Promise<BlobStage>): void {
  const stored = async (): Promise<BlobStage & { store: BlobStore }> => {
    const stage = await openStage();
    const { clock } = stage;
    const store = await stage.open();
    return { clock, store, open: () => stage.open(), [Symbol.asyncDispose]: () => stage[Symbol.asyncDispose]() };
  };

  describe(`blobs in ${name}`, () => {
    test('whatever comes in whatever pieces is found under its hash, and any range of it', async () => {
      await using stage = await stored();
      const pieces = fc.array(fc.uint8Array({ maxLength: 2_000 }), { maxLength: 20 });
      await fc.assert(
        fc.asyncProperty(pieces, fc.nat(3_000), fc.nat(3_000), async (content, from, length) => {
          const whole = Buffer.concat(content);
          const blob = await stage.store.put(piecesOf(content), { maxBytes });
          assert.deepEqual(blob, { sha256: sha256Hex(whole), bytes: whole.length });
          assert.deepEqual(await (await stage.open()).find(blob.sha256), blob);
          assert.deepEqual(await readAll(stage.store, blob.sha256), whole);
          const part = await readAll(stage.store, blob.sha256, { from, to: from + length });
          assert.deepEqual(part, whole.subarray(from, from + length));
        }),
        { numRuns: 40 },
      );
    });

    test('a content that fails, is too long or is not wanted any more leaves nothing', async () => {
      await using stage = await stored();
      const failing = async function* (): AsyncGenerator<Buffer> {
        yield Buffer.from('begun');
        throw new Error('cut');
      };
      await assert.rejects(stage.store.put(failing(), { maxBytes }), /cut/);
      const long = stage.store.put(piecesOf([Buffer.alloc(10), Buffer.alloc(10)]), { maxBytes: 19 });
      await assert.rejects(long, (error) => isCode(error, 'exhausted'));
      const signal = AbortSignal.abort(new Error('enough'));
      await assert.rejects(stage.store.put(piecesOf([Buffer.from('x')]), { maxBytes, signal }), /enough/);
      for (const gone of ['begun', Buffer.alloc(10), Buffer.alloc(20), 'x'])
        assert.equal(await stage.store.find(sha256Hex(gone)), undefined);
      assert.deepEqual(await stage.store.sweep({ needed: nothing, putBefore: Infinity }, {}), { blobs: 0, bytes: 0 });
    });

    test('what was removed is not found, and removing it again is no failure', async () => {
      await using stage = await stored();
      const { sha256 } = await stage.store.put(piecesOf([Buffer.from('short life')]), { maxBytes });
      await stage.store.remove(sha256);
      await stage.store.remove(sha256);
      assert.equal(await stage.store.find(sha256), undefined);
      await assert.rejects(readAll(stage.store, sha256), (error) => isCode(error, 'not-found'));
    });

    test('a name that is no hash reaches no file', async () => {
      await using stage = await stored();
      for (const name_ of ['', '..', '../../etc/passwd', 'A'.repeat(64), 'a'.repeat(63)]) {
        await assert.rejects(stage.store.find(name_), (error) => isCode(error, 'invalid'));
      }
    });

    test('a sweep takes what is old and not needed, and leaves what was put again meanwhile', async () => {
      await using stage = await stored();
      const { store, clock } = stage;
      const put = async (text: string): Promise<string> => (await store.put(piecesOf([Buffer.from(text)]), { maxBytes })).sha256;
      const [needed, old, again] = [await put('needed'), await put('old'), await put('again')];
      await clock.advance(10_000);
      const young = await put('young');
      const asked: string[] = [];
      const needs = async (hashes: readonly string[]): Promise<Set<string>> => {
        asked.push(...hashes);
        if (hashes.includes(again)) await put('again'); // between the question and the removal
        return new Set([needed]);
      };
      assert.deepEqual(await store.sweep({ needed: needs, putBefore: clock.now() }, {}), { blobs: 1, bytes: 3 });
      assert.deepEqual(asked.toSorted(), [needed, old, again, young].toSorted());
      assert.equal(await store.find(old), undefined);
      for (const kept of [needed, again, young]) assert.ok(await store.find(kept));
    });
  });
}

async function* piecesOf(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* pieces;
}

async function readAll(store: BlobStore, sha256: string, range?: { from: number; to: number }): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of store.read(sha256, range)) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}
