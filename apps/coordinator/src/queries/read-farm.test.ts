import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseMachineId, type LeaseId } from '@croft/domain/names';
import { readConfig } from '@croft/config/read-config';
import { silentLog } from '@croft/runtime/log';
import { openDatabase } from '@croft/store/database';
import { insertLease } from '@croft/store/leases';
import { upsertMachine } from '@croft/store/machines';
import type { WatchedMachine } from '../machines/watch-machines.ts';
import { readFarm, readFarmBrief, type FarmFacts } from './read-farm.ts';
import { countMachines } from './read-machines.ts';

const machines = ['m-1', 'm-2', 'm-3', 'm-4'].map(parseMachineId);
const outlook = { plan: { assign: [], lend: [], reasons: new Map() }, builders: [], troubles: [] };

/** The first is busy, the second ready; the third does not answer, and the fourth never did and has no row. */
const watched = machines.map((id, index): WatchedMachine => {
  const state = index < 2 ? 'up' : 'silent';
  return { pool: 'local', seenAt: 1, observed: { id, hostType: 'host', labels: [], state } };
});

test('machines are counted as they are shown, and the brief farm tells the rest without them', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'croft-farm-'));
  try {
    await using db = await openDatabase({ url: `sqlite:${join(dir, 'croft.db')}`, durability: 'kill', log: silentLog });
    const [busy] = machines;
    assert.ok(busy);
    await db.write(async (sql) => {
      const about = { pool: 'local', hostType: 'host', labels: [], address: undefined, at: 1 };
      for (const id of machines.slice(0, 3)) await upsertMachine(sql, { ...about, id });
      const holder = { kind: 'attempt', id: 'B0123456789abcdef.1' } as const;
      assert.ok(await insertLease(sql, { id: 'L0123456789abcdef' as LeaseId, machine: busy, holder, at: 1 }));
    });
    const facts: FarmFacts = {
      version: '1',
      startedAt: 1,
      hold: undefined,
      disk: { path: dir, freeBytes: 1, lowWaterBytes: 0, ok: true },
      watched,
      dialIn: [],
      troubles: [],
      config: readConfig({ dataDir: dir, repos: [] }),
      status: { file: undefined, loadedAt: 1, restart: [], problem: undefined },
    };
    const whole = await db.read((sql) => readFarm(sql, facts, outlook));
    const shown = Object.fromEntries(
      Map.groupBy(whole.machines, ({ state }) => state)
        .entries()
        .map(([state, { length }]) => [state, length]),
    );
    assert.deepEqual(shown, { busy: 1, ready: 1, away: 2 });
    assert.deepEqual(await db.read((sql) => countMachines(sql, watched)), shown);
    const brief = await db.read((sql) => readFarmBrief(sql, facts));
    assert.deepEqual(whole.machineCounts, shown);
    assert.deepEqual(brief, { ...whole, machines: [], machineCounts: { ready: 0, busy: 0, away: 0 }, running: [], queue: [] });
  } finally {
    await rm(dir, { recursive: true });
  }
});
