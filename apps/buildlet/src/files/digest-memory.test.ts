import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createDigestMemory, type FileState } from './digest-memory.ts';

const nowMs = 1_800_000_000_000;
const oldNs = 1_700_000_000_000_000_000n;
const word = fc.bigInt({ min: 0n, max: 5n });
const file: fc.Arbitrary<FileState> = fc
  .record({ dev: word, ino: word, size: word, at: word })
  .map(({ at, ...rest }) => ({ ...rest, mtimeNs: -at, ctimeNs: oldNs + at }));
const digest = fc.stringMatching(/^[0-9a-f]{64}$/);

test('whatever is found is what was kept last of that very file, in that very state', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(file, digest), { maxLength: 200 }), (kept) => {
      const memory = createDigestMemory(2);
      const known = new Map<string, string>();
      const name = (state: FileState): string => Object.values(state).join();
      for (const [state, hex] of kept) {
        memory.keep(state, hex, nowMs);
        known.set(name(state), hex);
        assert.equal(memory.find(state), hex);
      }
      for (const [state] of kept) assert.ok([undefined, known.get(name(state))].includes(memory.find(state)));
    }),
  );
});

test('what has changed just now is not kept', () => {
  const memory = createDigestMemory(2);
  const hex = 'a'.repeat(64);
  const at = (ns: bigint): FileState => ({ dev: 1n, ino: 1n, size: 1n, mtimeNs: oldNs, ctimeNs: ns });
  const nowNs = BigInt(nowMs) * 1_000_000n;
  for (const [ns, found] of [
    [nowNs - 2_000_000_000n, hex],
    [nowNs - 1_999_999_999n, undefined],
    [nowNs + 5n, undefined],
  ] as const) {
    memory.keep(at(ns), hex, nowMs);
    assert.equal(memory.find(at(ns)), found);
  }
});
