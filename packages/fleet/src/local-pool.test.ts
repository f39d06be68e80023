import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { MachineId } from '@croft/domain/names';
import { systemClock } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import { silentLog } from '@croft/runtime/log';
import { systemRandom } from '@croft/runtime/random';
import { openLocalPool, type LocalPool, type LocalPoolOptions } from './local-pool.ts';
import { poolContract, type PoolStage } from './pool-contract.ts';
import type { Observed, Pool } from './pool.ts';
import { processesBelow } from './testing-processes.ts';

const program = fileURLToPath(new URL('../../../apps/buildlet/src/main.ts', import.meta.url));

interface LocalStage extends PoolStage {
  readonly dir: string;
  open(options?: Partial<LocalPoolOptions>): Promise<LocalPool>;
}

async function openStage(): Promise<LocalStage> {
  const dir = await mkdtemp(join(tmpdir(), 'croft-pool-'));
  const open = (options: Partial<LocalPoolOptions> = {}): Promise<LocalPool> => {
    const command = async () => [process.execPath, '--disable-warning=ExperimentalWarning', program] as const;
    const usual = { name: 'local', dir, size: 2, hostType: 'host-test', labels: ['test'], env: process.env, orphanedMs: 60_000 };
    return openLocalPool({ ...usual, command, ...options }, { clock: systemClock, random: systemRandom, log: silentLog });
  };
  const remains = async (): Promise<string[]> => processesBelow(dir).map(({ pid, text }) => `${pid} ${text}`);
  return {
    dir,
    open,
    remains,
    async crash(id) {
      const { pid } = JSON.parse(await readFile(join(dir, id, 'process.json'), 'utf8')) as { pid: number };
      process.kill(pid, 'SIGKILL');
      while (processesBelow(dir).some((found) => found.pid === pid)) await systemClock.sleep(5);
    },
    async [Symbol.asyncDispose]() {
      await using pool = await open();
      await pool.endAll({});
      assert.deepEqual(await remains(), []);
      await rm(dir, { recursive: true });
    },
  };
}

poolContract('local', openStage);

const [first, second] = ['local-1', 'local-2'] as MachineId[] as [MachineId, MachineId];

async function until(pool: Pool, is: (machines: readonly Observed[]) => boolean): Promise<readonly Observed[]> {
  const deadline = systemClock.deadline(30_000);
  for (;;) {
    const machines = await pool.reconcile({ signal: deadline });
    if (is(machines)) return machines;
    await systemClock.sleep(50, { signal: deadline });
  }
}

const isUp =
  (...ids: MachineId[]) =>
  (machines: readonly Observed[]): boolean =>
    ids.every((id) => machines.find((machine) => machine.id === id)?.state === 'up');

test('a machine that cannot even be started says why and keeps none of the others', async () => {
  await using stage = await openStage();
  await writeFile(join(stage.dir, first), 'not a directory');
  await using pool = await stage.open();
  const machines = await until(pool, isUp(second));
  const broken = machines.find(({ id }) => id === first);
  assert.equal(broken?.state, 'down');
  assert.match(broken.evidence ?? '', /EEXIST|ENOTDIR/);
  await rm(join(stage.dir, first));
  await until(pool, isUp(first, second));
});

test('a machine whose directory was taken away begins afresh, for those who hold it too', async () => {
  await using stage = await openStage();
  await using pool = await stage.open();
  const bootOf = (machines: readonly Observed[]): string | undefined => machines.find(({ id }) => id === first)?.boot;
  const before = bootOf(await until(pool, isUp(first, second)));
  const holder = pool.connect(first);
  await rename(join(stage.dir, first), join(stage.dir, 'taken away')); // at once: its buildlet makes files in it
  await until(pool, (machines) => isUp(first, second)(machines) && bootOf(machines) !== before);
  assert.equal((await holder.status({})).Croft?.epoch, 0);
  await stat(join(stage.dir, first, 'password'));
});

test('a machine that is not declared any more ends and its directory goes; what has another name stays', async () => {
  await using stage = await openStage();
  const wide = await stage.open();
  await until(wide, isUp(first, second));
  await wide[Symbol.asyncDispose]();
  await mkdir(join(stage.dir, 'local-notes of somebody'));
  await using narrow = await stage.open({ size: 1 });
  const [machine, ...others] = await until(narrow, (machines) => machines.length === 1 && isUp(first)(machines));
  assert.deepEqual([machine?.id, others], [first, []]);
  await assert.rejects(stat(join(stage.dir, second)), /ENOENT/);
  await stat(join(stage.dir, 'local-notes of somebody'));
});

test('machines that are declared come, those that are not any more go, but not while somebody works on them', async () => {
  await using stage = await openStage();
  await using pool = await stage.open({ size: 1 });
  const declared = { hostType: 'host-new', labels: ['new'], orphanedMs: 60_000 };
  const boot = (await until(pool, isUp(first)))[0]?.boot;
  pool.declare({ ...declared, size: 1, forSessions: 1 });
  const both = await until(pool, isUp(first, second));
  assert.deepEqual(
    both.map(({ forSessions }) => forSessions),
    [undefined, true],
  );

  pool.declare({ ...declared, size: 0 });
  const reconcile = (...leased: MachineId[]): Promise<readonly Observed[]> =>
    pool.reconcile({ isLeased: async (id) => leased.includes(id) });
  const told = await reconcile();
  assert.deepEqual(
    told.map(({ id, draining, hostType, labels }) => [id, draining, hostType, labels]),
    [first, second].map((id) => [id, true, 'host-new', ['new']]),
  );
  const kept = await reconcile(first);
  assert.deepEqual(
    kept.map((machine) => [machine.id, machine.draining, machine.boot]),
    [[first, true, boot]],
  );
  await assert.rejects(stat(join(stage.dir, second)), /ENOENT/);
  assert.deepEqual(await reconcile(), []);
  assert.deepEqual(await stage.remains(), []);
});

test('a machine that is declared again before it has gone stays', async () => {
  await using stage = await openStage();
  await using pool = await stage.open();
  const before = await until(pool, isUp(first, second));
  const declared = { hostType: 'host-test', labels: ['test'], orphanedMs: 60_000 };
  pool.declare({ ...declared, size: 1 });
  assert.equal((await pool.reconcile({})).find(({ id }) => id === second)?.draining, true);
  pool.declare({ ...declared, size: 2 });
  const after = await pool.reconcile({});
  const looks = ({ id, boot, draining }: Observed): unknown[] => [id, boot, draining];
  assert.deepEqual(after.map(looks), before.map(looks));
});

test('only its owner can read a machine’s password or reach its socket, and no job sees what is not let through', async () => {
  await using stage = await openStage();
  await using pool = await stage.open({ env: { ...process.env, CROFT_SECRET: 'one', LANG: 'C.UTF-8' } });
  await until(pool, isUp(first));
  const modes = [join(stage.dir, first, 'password'), join(stage.dir, 'sockets')].map(async (path) => (await stat(path)).mode & 0o777);
  assert.deepEqual(await Promise.all(modes), [0o600, 0o700]);
  const { pid } = JSON.parse(await readFile(join(stage.dir, first, 'process.json'), 'utf8')) as { pid: number };
  if (process.getuid?.() !== 0) return; // a buildlet lets nobody else look
  const env = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
  assert.ok(env.includes('LANG=C.UTF-8'));
  assert.ok(!env.some((entry) => entry.startsWith('CROFT_SECRET')));
});

test('a socket directory that others may enter is refused', async () => {
  await using stage = await openStage();
  await mkdir(join(stage.dir, 'sockets'), { mode: 0o700 });
  await chmod(join(stage.dir, 'sockets'), 0o755);
  await assert.rejects(stage.open(), (error) => isCode(error, 'forbidden'));
  await chmod(join(stage.dir, 'sockets'), 0o700);
});
