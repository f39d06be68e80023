import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, rmdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { systemRandom } from '@croft/runtime/random';
import { complete, shell, startMachine, until } from '../testing.ts';
import { memoryGroup } from './memory-group.ts';

async function groupOf(files: Readonly<Record<string, string>>): Promise<ReturnType<typeof memoryGroup>> {
  const dir = await mkdtemp(join(tmpdir(), 'croft-group-'));
  try {
    for (const [name, content] of Object.entries(files)) {
      await mkdir(join(dir, dirname(name)), { recursive: true });
      await writeFile(join(dir, name), content);
    }
    return memoryGroup({ procDir: join(dir, 'proc'), groupsDir: join(dir, 'groups') });
  } finally {
    await rm(dir, { recursive: true });
  }
}

const counts = { v1: 'oom_kill_disable 0\nunder_oom 0\noom_kill 3\n', v2: 'low 0\nhigh 0\nmax 9\noom 4\noom_kill 3\noom_group_kill 0\n' };

test('the group is found in both versions, under its path, or at the top as a container sees its own', async () => {
  const old = { 'proc/self/cgroup': '9:name=systemd:/x\n4:cpu,memory:/docker/abc\n' };
  for (const place of ['groups/memory/docker/abc', 'groups/memory']) {
    const files = { ...old, [`${place}/memory.limit_in_bytes`]: '2000000000\n', [`${place}/memory.oom_control`]: counts.v1 };
    assert.deepEqual(await groupOf(files), { limitBytes: 2e9, oomKills: 3 }, place);
  }
  const young = { 'proc/self/cgroup': '0::/system.slice/croft.service\n' };
  for (const place of ['groups/system.slice/croft.service', 'groups', 'groups/unified/system.slice/croft.service']) {
    const files = { ...young, [`${place}/memory.max`]: '2000000000\n', [`${place}/memory.events`]: counts.v2 };
    assert.deepEqual(await groupOf(files), { limitBytes: 2e9, oomKills: 3 }, place);
  }
});

test('the limit may be that of a group above; the number is its own', async () => {
  const files = {
    'proc/self/cgroup': '0::/slice/croft\n',
    'groups/slice/croft/memory.max': 'max\n',
    'groups/slice/croft/memory.events': counts.v2,
    'groups/slice/memory.max': '1000\n',
    'groups/slice/memory.events': 'oom_kill 8\n',
  };
  assert.deepEqual(await groupOf(files), { limitBytes: 1_000, oomKills: 3 });
});

test('without a limit, or where nothing is told, there is no group', async () => {
  const top = { 'proc/self/cgroup': '4:memory:/\n', 'groups/memory/memory.oom_control': counts.v1 };
  assert.equal(await groupOf({ ...top, 'groups/memory/memory.limit_in_bytes': '9223372036854771712\n' }), undefined);
  assert.equal(await groupOf({ 'proc/self/cgroup': '0::/\n', 'groups/memory.max': 'max\n', 'groups/memory.events': counts.v2 }), undefined);
  for (const text of ['', '0::\n', 'nonsense', '0::/../..\n']) assert.equal(await groupOf({ 'proc/self/cgroup': text }), undefined, text);
});

const memoryDir = '/sys/fs/cgroup/memory';
const skip =
  process.getuid?.() === 0 && existsSync(join(memoryDir, 'memory.limit_in_bytes'))
    ? undefined
    : 'only root can make a group with a limit, and only with version 1 of the memory controller';

test('a command that takes more than the limit is killed, and its run says so', { skip }, async () => {
  const group = join(memoryDir, `croft-test-${systemRandom.hex(6)}`);
  await using stack = new AsyncDisposableStack();
  await mkdir(group);
  stack.defer(async () => {
    await until('the group is empty', async () => (await readFile(join(group, 'cgroup.procs'), 'utf8')) === '');
    await rmdir(group);
  });
  const machine = stack.use(await startMachine());
  await writeFile(join(group, 'memory.limit_in_bytes'), '400000000');
  await writeFile(join(group, 'cgroup.procs'), String(machine.process.pid));
  const { run } = await complete(machine.client, 'greedy', shell('head -c 900000000 /dev/zero | tail -c 900000000 | wc -c; exit 3'));
  assert.ok('evidence' in run && run.evidence, JSON.stringify(run));
  assert.match(run.evidence.join(), /the 400 MB of memory that the machine may use ran out: the kernel killed [12] process/);
  const { run: modest } = await complete(machine.client, 'modest', shell('true'));
  assert.ok(!('evidence' in modest) || !modest.evidence?.join().includes('ran out'));
});
