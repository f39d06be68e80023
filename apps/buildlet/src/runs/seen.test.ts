import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { complete, shell, startMachine } from '../testing.ts';
import { watchMachine, type Sources } from './seen.ts';

interface State {
  readonly up: number;
  readonly oom: number;
  readonly memory: number;
}

async function machine(use: (sources: Sources, set: (state: State) => Promise<void>) => Promise<void>): Promise<void> {
  const procDir = await mkdtemp(join(tmpdir(), 'croft-seen-'));
  await mkdir(join(procDir, 'pressure'));
  const set = async ({ up, oom, memory }: State): Promise<void> => {
    await writeFile(join(procDir, 'uptime'), `${up} 9.9\n`);
    await writeFile(join(procDir, 'vmstat'), `nr_free_pages 1\noom_kill ${oom}\nx 2\n`);
    await writeFile(join(procDir, 'pressure/memory'), `some avg10=0.00 avg60=0.00 avg300=0.00 total=${memory}\nfull total=1\n`);
  };
  await use({ procDir, groupsDir: join(procDir, 'groups'), kernelLog: join(procDir, 'kmsg') }, set);
  await rm(procDir, { recursive: true });
}

test('who was killed for lack of memory while it ran is told, and who was before is not', () =>
  machine(async (sources, set) => {
    const log = (us: number, text: string): string => `6,1,${us},-;${text}\n`;
    const early = log(5_000_000, 'Out of memory: Killed process 1 (early) total-vm:1kB');
    await writeFile(sources.kernelLog, early + log(12_000_000, 'Memory cgroup out of memory: Killed process 4711 (cc1plus) total-vm:9kB'));
    await set({ up: 10, oom: 1, memory: 0 });
    const seen = watchMachine(sources);
    await set({ up: 20, oom: 2, memory: 0 });
    assert.deepEqual(seen(), { oomKills: 1, evidence: ['the machine ran out of memory: the kernel killed process 4711 (cc1plus)'] });
  }));

test('without the log of the kernel the number is told', () =>
  machine(async (sources, set) => {
    await set({ up: 10, oom: 1, memory: 0 });
    const seen = watchMachine(sources);
    await set({ up: 20, oom: 4, memory: 0 });
    assert.deepEqual(seen().evidence, ['the machine ran out of memory: the kernel killed 3 process(es)']);
  }));

test('pressure is told when it was much, and not of a moment', () =>
  machine(async (sources, set) => {
    await set({ up: 10, oom: 0, memory: 1_000_000 });
    const seen = watchMachine(sources);
    await set({ up: 20, oom: 0, memory: 4_400_000 });
    assert.deepEqual(seen(), { oomKills: 0, evidence: ['processes of its machine waited for memory 34 % of the time'] });
    await set({ up: 20, oom: 0, memory: 1_900_000 });
    assert.deepEqual(seen().evidence, []);
    await set({ up: 10.5, oom: 0, memory: 4_400_000 });
    assert.deepEqual(seen().evidence, []);
  }));

test('a machine that tells nothing is not a reason to fail', () => {
  assert.deepEqual(watchMachine({ procDir: '/nowhere', groupsDir: '/nowhere', kernelLog: '/nowhere' })(), { oomKills: 0, evidence: [] });
});

test('an ended run tells what it used, also after a restart', async () => {
  await using at = await startMachine();
  const { run } = await complete(at.client, 'used', shell('i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done'));
  if ('usage' in run && run.usage) {
    assert.ok(run.usage.cpuMs >= 10 && run.usage.cpuMs < 60_000, String(run.usage.cpuMs));
    assert.ok(run.usage.peakBytes > 500_000 && run.usage.peakBytes < 1e9, String(run.usage.peakBytes));
  } else assert.match(await at.process.log(), /"start":"fifo"/);
  await at.process.kill9();
  await at.process.restart();
  assert.deepEqual(await at.client.run(run.id as never, {}), run);
});
