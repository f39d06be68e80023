import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConfigInput } from '@croft/config/define-config';
import type { LocalPool as Declared } from '@croft/config/farm-config';
import { readConfig } from '@croft/config/read-config';
import type { LocalPool } from '@croft/fleet/local-pool';
import { CroftError } from '@croft/runtime/errors';
import { openPools } from './pools.ts';

const poolsOf = (...pools: NonNullable<ConfigInput['pools']>): readonly Declared[] => readConfig({ dataDir: '/srv/farm', pools }).pools;

/** Opens pools that note what is asked of them. */
function stage(): { told: string[]; open(pool: Declared): Promise<LocalPool> } {
  const told: string[] = [];
  return {
    told,
    async open({ name, size }) {
      if (name === 'broken') throw new CroftError('exhausted', 'the disk is full');
      told.push(`open ${name} ${size}`);
      return {
        name,
        declare: (wanted) => void told.push(`${name} ${wanted.size}`),
        reconcile: async () => [],
        connect: () => assert.fail('nobody asks for a machine'),
        async replace() {},
        async endAll() {},
        async [Symbol.asyncDispose]() {
          told.push(`close ${name}`);
        },
      };
    },
  };
}

test('a pool that is gone is drained and stays until the end, one that comes back is the same', async () => {
  const { told, open } = stage();
  await using pools = await openPools(poolsOf({ kind: 'local', name: 'a', size: 2 }), open);
  told.length = 0;
  await pools.declare(poolsOf({ kind: 'local', name: 'b', size: 1 }));
  assert.deepEqual(told.splice(0), ['open b 0', 'b 1', 'a 0']);
  assert.deepEqual(
    pools.list().map(({ name }) => name),
    ['a', 'b'],
  );
  await pools.declare(poolsOf({ kind: 'local', name: 'a', size: 3 }));
  assert.deepEqual(told.splice(0), ['a 3', 'b 0']);
  await pools[Symbol.asyncDispose]();
  assert.deepEqual(told, ['close b', 'close a']);
});

test('what cannot be opened leaves the others as they are', async () => {
  const { told, open } = stage();
  await using pools = await openPools(poolsOf({ kind: 'local', name: 'a', size: 2 }), open);
  told.length = 0;
  const declared = poolsOf(
    { kind: 'local', name: 'a', size: 1 },
    { kind: 'local', name: 'new', size: 1 },
    { kind: 'local', name: 'broken', size: 1 },
  );
  await assert.rejects(pools.declare(declared), /the disk is full/);
  assert.deepEqual(told, ['open new 0'], 'without machines');
});
