import assert from 'node:assert/strict';
import { test } from 'node:test';
import { machineList } from './machine-list.ts';
import { hostile, testFarm, testMachine, testNow } from './testing-views.ts';

test('a machine that is a container is shown with the id that its daemon lists', async () => {
  const machines = [testMachine({ container: '3f2a9c01b7de' }), testMachine({ container: hostile })];
  const page = String(await machineList({ farm: testFarm({ machines }), mayTend: false, now: testNow }));
  assert.match(page, /container <bdi>3f2a9c01b7de<\/bdi>/);
  assert.ok(!page.includes('<script>'));
  assert.doesNotMatch(
    String(await machineList({ farm: testFarm({ machines: [testMachine()] }), mayTend: false, now: testNow })),
    /container/,
  );
});
