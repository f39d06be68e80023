import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MachineId } from '@croft/domain/names';
import type { Observed } from './pool.ts';
import { createReconcile, type Maker } from './reconcile.ts';

const [first, second] = ['pool-1', 'pool-2'] as MachineId[] as [MachineId, MachineId];

interface Stage {
  readonly maker: Maker;
  /** What was done, in order. */
  readonly told: string[];
  readonly worn: Set<MachineId>;
  readonly leased: Set<MachineId>;
  /** Starts of this machine fail. */
  broken: MachineId | undefined;
  look(): Promise<readonly string[]>;
}

function openStage(): Stage {
  const there = new Set<MachineId>();
  const told: string[] = [];
  const reconcile = createReconcile();
  const stage = { told, worn: new Set<MachineId>(), leased: new Set<MachineId>(), broken: undefined as Stage['broken'] };
  const about = { hostType: 'host', labels: [] };
  const maker: Maker = {
    names: { all: [first, second], forSessions: new Set([second]) },
    present: async () => [...there],
    observe: async (id): Promise<Observed> => ({ id, ...about, state: there.has(id) ? 'up' : 'down' }),
    async start(id) {
      if (stage.broken === id) throw new Error('no space left');
      told.push(`start ${id}`);
      there.add(id);
    },
    async remove(id) {
      told.push(`remove ${id}`);
      stage.worn.delete(id);
      there.delete(id);
    },
    worn: ({ id }) => (stage.worn.has(id) ? 'is worn' : undefined),
    broken: (id, error) => ({ id, ...about, state: 'down', evidence: String(error) }),
  };
  return Object.assign(stage, {
    maker,
    async look() {
      const seen = await reconcile(maker, { isLeased: async (id) => stage.leased.has(id) });
      return seen.map(({ id, state, draining, held = '' }) => `${id} ${state}${draining ? ' draining' : ''} ${held}`.trim());
    },
  });
}

test('a worn machine is first told as one that takes nothing, then another takes its place, and the others are left alone', async () => {
  const stage = openStage();
  await stage.look();
  stage.told.length = 0;
  stage.worn.add(first);
  assert.deepEqual(await stage.look(), ['pool-1 up draining is worn', 'pool-2 up']);
  assert.deepEqual(stage.told, []);
  assert.deepEqual(await stage.look(), ['pool-1 starting', 'pool-2 up']);
  assert.deepEqual(stage.told, ['remove pool-1', 'start pool-1']);
});

test('a worn machine on which somebody works stays, also when it was told already', async () => {
  const stage = openStage();
  await stage.look();
  stage.told.length = 0;
  stage.worn.add(first);
  stage.leased.add(first);
  assert.deepEqual(await stage.look(), ['pool-1 up', 'pool-2 up']);
  stage.leased.clear();
  await stage.look();
  stage.leased.add(first); // somebody was faster
  assert.deepEqual(await stage.look(), ['pool-1 up', 'pool-2 up']);
  stage.leased.clear();
  assert.deepEqual(await stage.look(), ['pool-1 up draining is worn', 'pool-2 up'], 'told again before it goes');
  assert.deepEqual(stage.told, []);
});

test('a machine that cannot be made anew says why, and is tried again', async () => {
  const stage = openStage();
  await stage.look();
  stage.worn.add(first);
  stage.broken = first;
  await stage.look();
  assert.deepEqual(await stage.look(), ['pool-1 down', 'pool-2 up']);
  stage.broken = undefined;
  await stage.look();
  assert.deepEqual(await stage.look(), ['pool-1 up', 'pool-2 up']);
});
