import assert from 'node:assert/strict';
import { test } from 'node:test';
import { machineList } from './machine-list.ts';
import { hostile, testMachine, testMachineList, testNow } from './testing-views.ts';

const all = { find: '', state: undefined, page: 0 };
const shown = async (...machines: Parameters<typeof testMachineList>[0]): Promise<string> =>
  String(await machineList({ list: testMachineList(machines), filter: all, mayTend: false, now: testNow }));

test('a machine that is a container is shown with the id that its daemon lists', async () => {
  const page = await shown(testMachine({ container: '3f2a9c01b7de' }), testMachine({ container: hostile }));
  assert.match(page, /container <bdi>3f2a9c01b7de<\/bdi>/);
  assert.ok(!page.includes('<script>'));
  assert.doesNotMatch(await shown(testMachine()), /container/);
});

test('a busy machine tells whose it is, since when and by which lease', async () => {
  const lease = {
    id: 'L0123456789abcdef',
    holder: 'B0123456789abcdef.1',
    build: 'B0123456789abcdef',
    epoch: 7,
    acquiredAt: testNow - 60_000,
  };
  const build = { builder: 'linux-race', repo: 'croft', revision: 'a'.repeat(40) };
  assert.match(
    await shown(testMachine({ lease: { ...lease, ...build } })),
    /href="\/builds\/B0123456789abcdef"><bdi>linux-race.*60 s ago.*L0123456789abcdef.*epoch 7/s,
  );
  assert.match(await shown(testMachine({ lease })), /href="\/builds\/B0123456789abcdef"><bdi>B0123456789abcdef\.1/);
  const session = { id: 'S0123456789abcdef', alias: 'ann-linux-0', owner: 'ann' };
  assert.match(await shown(testMachine({ lease: { ...lease, session } })), /href="\/sessions\/S0123456789abcdef"><bdi>ann-linux-0/);
});

test('a machine that is kept for borrowing says so, with the way there', async () => {
  assert.match(await shown(testMachine({ forSessions: true })), /<a class="label kept" href="\/sessions"[^>]*>kept for borrowing<\/a>/);
  assert.doesNotMatch(await shown(testMachine()), /borrowing/);
});

test('many machines come in pages that can be searched, few without any of that', async () => {
  assert.doesNotMatch(await shown(testMachine()), /<form class="borrow"|class="pager"/);
  const counts = { ready: 9_000, busy: 900, away: 100 };
  const list = { machines: [testMachine()], found: 120, counts, next: 'x' };
  const page = String(await machineList({ list, filter: { find: '<arm64>', state: 'busy', page: 1 }, mayTend: false, now: testNow }));
  assert.match(page, /value="&lt;arm64&gt;".*selected>busy \(900\).*120 of 10000 machines/s);
  assert.match(page, /rel="prev" href="\/farm\?find=%3Carm64%3E&amp;state=busy"/);
  assert.match(page, /page 2 of 3.*rel="next" href="\/farm\?find=%3Carm64%3E&amp;state=busy&amp;page=2"/s);
  const none = { machines: [], found: 0, counts };
  assert.match(String(await machineList({ list: none, filter: all, mayTend: false, now: testNow })), /No machine is like that/);
});
