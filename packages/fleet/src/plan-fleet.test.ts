import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MachineId } from '@croft/domain/names';
import { planFleet, type Existing } from './plan-fleet.ts';

const id = (n: number): MachineId => `local-${n}` as MachineId;

test('what is declared and not there, or certainly down, is started; what may still run is left alone', () => {
  const existing: Existing[] = [
    { id: id(1), state: 'up' },
    { id: id(2), state: 'starting' },
    { id: id(3), state: 'silent' },
    { id: id(4), state: 'down' },
  ];
  assert.deepEqual(planFleet([1, 2, 3, 4, 5].map(id), existing), [
    { kind: 'start', id: id(4) },
    { kind: 'start', id: id(5) },
  ]);
});

test('what is not declared goes, whatever its state', () => {
  const states = ['up', 'starting', 'silent', 'down'] as const;
  const existing = states.map((state, n): Existing => ({ id: id(n + 1), state }));
  assert.deepEqual(
    planFleet([], existing),
    existing.map((machine) => ({ kind: 'remove', id: machine.id })),
  );
});

test('what is as declared asks for nothing', () => {
  assert.deepEqual(planFleet([id(1)], [{ id: id(1), state: 'up' }]), []);
});
