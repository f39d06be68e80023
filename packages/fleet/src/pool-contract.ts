/** What every pool does, whatever its machines are made of. Each kind of pool runs this suite with real machines. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseMachineId, type MachineId, type RunId } from '@croft/domain/names';
import { systemClock } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import type { Observed, Pool } from './pool.ts';

export interface PoolStage extends AsyncDisposable {
  /** The pool with two machines declared, as another process over the same provider would open it. Disposed by the caller. */
  open(): Promise<Pool>;
  /** Kills the machine's buildlet as a power failure would. */
  crash(id: MachineId): Promise<void>;
  /** What is left at the provider: processes, containers, machines. */
  remains(): Promise<readonly string[]>;
}

const runId = 'B0123456789abcdef.1.test' as RunId;
const lasting = { argv: ['sleep', '600'], dir: '.', env: {}, limitMs: 600_000, outputLimitBytes: 1_000 };
const withinMs = 30_000;

export function poolContract(name: string, openStage: () => Promise<PoolStage>): void {
  describe(`the ${name} pool`, () => {
    test('makes what is declared, tells what it has, and leaves it alone from then on', async () => {
      await using stage = await openStage();
      await using pool = await stage.open();
      const machines = await allUp(pool);
      assert.equal(machines.length, 2);
      for (const { id, hostType } of machines) {
        assert.ok(hostType);
        const { Croft } = await pool.connect(id).status({});
        assert.equal(Croft?.boot, machines.find((machine) => machine.id === id)?.boot);
      }
      assert.deepEqual(boots(await pool.reconcile({})), boots(machines));
    });

    test('says so when a machine has died, and brings it back as another start that lost what ran', async () => {
      await using stage = await openStage();
      await using pool = await stage.open();
      const [first, second] = await allUp(pool);
      assert.ok(first && second);
      await pool.connect(first.id).startOrAttach(runId, lasting, 1, {});
      await stage.crash(first.id);
      const seen = (await pool.reconcile({})).find(({ id }) => id === first.id);
      assert.ok(seen && seen.state !== 'up' && seen.evidence);
      const again = await allUp(pool);
      assert.deepEqual(
        again.map(({ boot }, index) => boot === [first, second][index]?.boot),
        [false, true],
      );
      const run = await pool.connect(first.id).run(runId, { waitMs: 10_000 });
      assert.equal(typeof run === 'string' ? run : run.state === 'ended' && run.exit.kind, 'lost');
    });

    test('disposed, it leaves its machines and what runs on them to the next one', async () => {
      await using stage = await openStage();
      const first = await stage.open();
      const before = await allUp(first);
      const id = before[0]?.id ?? assert.fail();
      await first.connect(id).startOrAttach(runId, lasting, 1, {});
      await first[Symbol.asyncDispose]();
      await using second = await stage.open();
      assert.deepEqual(boots(await allUp(second)), boots(before));
      const run = await second.connect(id).run(runId, {});
      assert.equal(typeof run === 'string' ? run : run.state, 'running');
    });

    test('replaces a machine that is not trusted any more', async () => {
      await using stage = await openStage();
      await using pool = await stage.open();
      const [first, second] = await allUp(pool);
      assert.ok(first && second);
      await pool.replace(first.id, 'the test says so', {});
      const again = boots(await allUp(pool));
      assert.notEqual(again.get(first.id), first.boot);
      assert.equal(again.get(second.id), second.boot);
    });

    test('ends every machine with all that runs on it', async () => {
      await using stage = await openStage();
      await using pool = await stage.open();
      const [first, second] = await allUp(pool);
      assert.ok(first && second);
      await pool.connect(first.id).startOrAttach(runId, lasting, 1, {});
      await stage.crash(second.id);
      await pool.endAll({});
      assert.deepEqual(await stage.remains(), []);
    });

    test('has no machine of another name', async () => {
      await using stage = await openStage();
      await using pool = await stage.open();
      assert.throws(
        () => pool.connect(parseMachineId('another-1')),
        (error) => isCode(error, 'not-found'),
      );
    });

    test('is ended by an abort, with its reason', async () => {
      await using stage = await openStage();
      await using pool = await stage.open();
      await assert.rejects(pool.reconcile({ signal: AbortSignal.abort(new Error('enough')) }), /enough/);
    });
  });
}

async function allUp(pool: Pool): Promise<readonly Observed[]> {
  const deadline = systemClock.deadline(withinMs);
  for (;;) {
    const machines = await pool.reconcile({ signal: deadline });
    if (machines.length > 0 && machines.every(({ state }) => state === 'up')) return machines;
    await systemClock.sleep(50, { signal: deadline }).catch(() => assert.fail(`not all are up: ${JSON.stringify(machines)}`));
  }
}

function boots(machines: readonly Observed[]): Map<MachineId, string | undefined> {
  return new Map(machines.map(({ id, boot }) => [id, boot]));
}
