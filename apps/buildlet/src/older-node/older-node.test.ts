import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { DisposerStack, SuppressedFailure } from './disposable-stack.ts';
import { crc32InScript } from './zlib.ts';

test('the checksum in script is zlib’s, in one piece and in two', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(400), (bytes, cut) => {
      assert.equal(crc32InScript(bytes), crc32(bytes));
      assert.equal(crc32InScript(bytes.subarray(cut), crc32InScript(bytes.subarray(0, cut))), crc32(bytes));
    }),
  );
  assert.equal(crc32InScript('123456789'), 0xcb_f4_39_26);
});

type Step = { readonly way: 'use' | 'use of a plain one' | 'adopt' | 'defer'; readonly fails: boolean };
const step: fc.Arbitrary<Step> = fc.record({
  way: fc.constantFrom('use', 'use of a plain one', 'adopt', 'defer'),
  fails: fc.boolean(),
});

/** What is disposed in which order, and how that ends: the failures, outermost first. */
async function play(stack: AsyncDisposableStack, steps: readonly Step[], moved: boolean): Promise<unknown[]> {
  const told: unknown[] = [];
  for (const [index, { way, fails }] of steps.entries()) {
    const dispose = (): void => {
      told.push(index);
      if (fails) throw new Error(`failure ${index}`);
    };
    if (way === 'use') stack.use({ [Symbol.asyncDispose]: async () => dispose() });
    else if (way === 'use of a plain one') stack.use({ [Symbol.dispose]: dispose });
    else if (way === 'adopt') stack.adopt(index, dispose);
    else stack.defer(dispose);
  }
  stack.use(undefined);
  const last = moved ? stack.move() : stack;
  let error: unknown = await last.disposeAsync().catch((failure: unknown) => failure);
  while (error instanceof SuppressedFailure || error instanceof SuppressedError) {
    told.push((error.error as Error).message);
    error = error.suppressed;
  }
  told.push((error as Error | undefined)?.message, stack.disposed, last.disposed);
  await last.disposeAsync();
  assert.throws(() => last.defer(() => {}), ReferenceError);
  return told;
}

test('the stack does what the platform’s does', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 6 }), fc.boolean(), async (steps, moved) => {
      assert.deepEqual(await play(new DisposerStack(), steps, moved), await play(new AsyncDisposableStack(), steps, moved));
    }),
  );
  for (const Stack of [DisposerStack, AsyncDisposableStack]) {
    assert.throws(() => new Stack().use({} as AsyncDisposable), TypeError);
  }
});
