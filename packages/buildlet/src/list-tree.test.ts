/** What is read of a tree’s list: cut anywhere, with any bytes for names, and of another form. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { isCode } from '@croft/runtime/errors';
import { treeEntries, type TreeEntry } from './list-tree.ts';

const name = fc
  .uint8Array({ minLength: 1, maxLength: 20 })
  .filter((bytes) => !bytes.includes(0))
  .map((bytes) => Buffer.from(bytes).toString('latin1'));
const mode = fc.nat(0o7777);
const digest = fc.option(fc.stringMatching(/^[0-9a-f]{64}$/), { nil: undefined });
const entry: fc.Arbitrary<TreeEntry> = fc.oneof(
  fc.record({ kind: fc.constantFrom('directory' as const, 'other' as const), path: name, mode }, { noNullPrototype: true }),
  fc.record({ kind: fc.constant('file' as const), path: name, mode, sizeBytes: fc.nat(2 ** 30), digest }, { noNullPrototype: true }),
  fc.record({ kind: fc.constant('link' as const), path: name, target: name }, { noNullPrototype: true }),
);

function written(told: TreeEntry): Buffer {
  if (told.kind === 'link') return Buffer.from(`l ${told.path}\0${told.target}\0`, 'latin1');
  const octal = told.mode.toString(8);
  const head = told.kind === 'file' ? `f ${octal} ${told.sizeBytes} ${told.digest ?? '-'} ` : `${told.kind[0]} ${octal} `;
  return Buffer.from(`${head}${told.path}\0`, 'latin1');
}

async function* cut(bytes: Buffer, places: readonly number[]): AsyncGenerator<Buffer> {
  const at = [0, ...places.map((place) => place % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length];
  for (const [index, to] of at.slice(1).entries()) yield bytes.subarray(at[index], to);
}

test('a list is read as it was written, wherever it is cut', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(entry, { maxLength: 20 }), fc.array(fc.nat(2_000), { maxLength: 8 }), async (entries, places) => {
      const batches = await Array.fromAsync(treeEntries(cut(Buffer.concat(entries.map(written)), places)));
      assert.deepEqual(batches.flat(), entries);
    }),
  );
});

test('a list that ends too early, or is of another form, is a failure', async () => {
  const read = (text: string): Promise<unknown> => Array.fromAsync(treeEntries(cut(Buffer.from(text), [])));
  const sha = 'a'.repeat(64);
  for (const text of [
    'f 644 5 ',
    'l name\0',
    'l name\0tar',
    '-rw-r--r--\ta\t5\t2020-01-01T00:00:00Z\n',
    'f 644 5 abc name\0',
    `f 9 5 ${sha} n\0`,
  ]) {
    await assert.rejects(read(text), (error) => isCode(error, 'unavailable'), text);
  }
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
      await Array.fromAsync(treeEntries(cut(Buffer.from(bytes), []))).catch((error: unknown) => assert.ok(isCode(error, 'unavailable')));
    }),
  );
});
