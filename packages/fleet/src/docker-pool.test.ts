import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { MachineId, RunId } from '@croft/domain/names';
import type { Run } from '@croft/protocol/runs';
import { systemClock } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import { silentLog } from '@croft/runtime/log';
import { systemRandom } from '@croft/runtime/random';
import { openDockerPool, type DeclaredContainers, type DockerPool, type DockerPoolOptions } from './docker-pool.ts';
import { poolContract, type PoolStage } from './pool-contract.ts';
import type { Observed, Pool, Reconciling } from './pool.ts';
import { dockerMissing, startDocker, type TestDaemon } from './testing-docker.ts';

const skip = dockerMissing(process.env);
let daemon: TestDaemon;

interface DockerStage extends PoolStage {
  readonly dir: string;
  open(options?: Partial<DockerPoolOptions>): Promise<DockerPool>;
}

const settings = (): DeclaredContainers => ({
  size: 2,
  hostType: 'host-test',
  labels: ['test'],
  orphanedMs: 60_000,
  image: daemon.image,
  network: 'none',
  mounts: [],
  processes: 500,
  readOnly: false,
});

async function openStage(): Promise<DockerStage> {
  const dir = await mkdtemp(join(tmpdir(), 'croft-containers-'));
  const open = (options: Partial<DockerPoolOptions> = {}): Promise<DockerPool> =>
    openDockerPool(
      {
        name: 'docker',
        dir,
        socketPath: daemon.socketPath,
        ...settings(),
        pools: () => ['docker'],
        node: async () => daemon.node,
        program: async () => [daemon.program],
        ...options,
      },
      { clock: systemClock, random: systemRandom, log: silentLog },
    );
  const containers = (): string[] =>
    daemon
      .docker('ps', '-aq', '--filter', `volume=${join(dir, 'docker-1', 'state')}`)
      .split('\n')
      .filter(Boolean);
  return {
    dir,
    open,
    remains: async () => containers(),
    async crash(id) {
      daemon.docker('kill', daemon.docker('ps', '-q', '--filter', `label=croft.machine=${id}`).trim());
    },
    async [Symbol.asyncDispose]() {
      await using pool = await open();
      await pool.endAll({});
      assert.deepEqual(containers(), []);
      await rm(dir, { recursive: true });
    },
  };
}

const [first, second] = ['docker-1', 'docker-2'] as MachineId[] as [MachineId, MachineId];
const withinMs = 30_000;

async function until(pool: Pool, is: (machines: readonly Observed[]) => boolean, waits: Reconciling = {}): Promise<readonly Observed[]> {
  const deadline = systemClock.deadline(withinMs);
  for (;;) {
    const machines = await pool.reconcile({ ...waits, signal: deadline });
    if (is(machines)) return machines;
    await systemClock.sleep(50, { signal: deadline }).catch(() => assert.fail(JSON.stringify(machines)));
  }
}

const isUp =
  (...ids: MachineId[]) =>
  (machines: readonly Observed[]): boolean =>
    ids.every((id) => machines.find((machine) => machine.id === id)?.state === 'up');

/** What a command says there, and how it ended. */
async function say(pool: Pool, script: string, id = first): Promise<{ said: string; run: Run }> {
  const run = `B0123456789abcdef.1.${systemRandom.hex(4)}` as RunId;
  const buildlet = pool.connect(id);
  await buildlet.startOrAttach(run, { argv: ['sh', '-c', script], dir: '.', env: {}, limitMs: 20_000, outputLimitBytes: 1e6 }, 1, {});
  const pieces: Buffer[] = [];
  for await (const piece of buildlet.output(run, 0, {})) pieces.push(Buffer.from(piece));
  const ended = await buildlet.run(run, { waitMs: 10_000 });
  if (typeof ended === 'string') assert.fail(`the run is ${ended}`);
  await buildlet.collect(run, 1, {});
  return { said: Buffer.concat(pieces).toString().trim(), run: ended };
}

const inspect = (id: MachineId, format: string): string =>
  daemon.docker('inspect', '--format', format, daemon.docker('ps', '-aq', '--filter', `label=croft.machine=${id}`).trim()).trim();

describe('with a Docker daemon', { skip }, () => {
  before(async () => void (daemon = await startDocker()));
  after(() => daemon?.[Symbol.asyncDispose]());

  poolContract('docker', openStage);

  test('a command has no network, no rights to gain, only its own files, and nothing of the coordinator’s environment', async () => {
    await using stage = await openStage();
    await using pool = await stage.open({ size: 1, user: '12345:23456', readOnly: true });
    await until(pool, isUp(first));
    const { said } = await say(pool, 'id -u; id -g; ls /sys/class/net; grep -E "^(CapEff|NoNewPrivs|Seccomp):" /proc/self/status; env');
    const lines = said.split('\n');
    assert.deepEqual(lines.slice(0, 6), ['12345', '23456', 'lo', 'CapEff:\t0000000000000000', 'NoNewPrivs:\t1', 'Seccomp:\t2']);
    const variables = lines.slice(6).map((line) => line.split('=')[0]);
    assert.deepEqual(
      variables.toSorted((a = '', b = '') => (a < b ? -1 : 1)),
      ['CROFT_COOKIE', 'HOME', 'PATH', 'PWD', 'SHELL', 'TMPDIR', 'WORKDIR'],
    );
    const write = await say(pool, 'touch "$HOME/a" a /tmp/a && touch /a');
    assert.match(write.said, /touch: cannot touch '\/a': Read-only file system/);
    assert.match((await say(pool, 'rm -rf /croft/program /croft/lib; ls /croft/program')).said, /Read-only file system\nbuildlet\.mjs$/);
  });

  test('root of a container can change owners and no more of the host: no devices, no raw sockets, no mounts', async () => {
    await using stage = await openStage();
    await using pool = await stage.open({ size: 1 });
    await until(pool, isUp(first));
    const { said } = await say(pool, 'grep -E "^CapBnd:" /proc/self/status; touch /a && chmod 4755 /a && echo changed');
    assert.equal(said, 'CapBnd:\t00000000000404fb\nchanged');
  });

  test('limits are the container’s: what takes more memory is killed, and the machine is not', async () => {
    await using stage = await openStage();
    await using pool = await stage.open({ size: 1, memoryBytes: 200e6, cpus: 0.5, processes: 60, treeBytesInMemory: 20e6 });
    const [{ boot, cpus, memoryBytes, container } = assert.fail()] = await until(pool, isUp(first));
    assert.equal(container, inspect(first, '{{.Id}}').slice(0, 12), 'the inventory names it as the daemon does');
    assert.deepEqual([cpus, memoryBytes], [0.5, 200e6]);
    const host = '{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}';
    assert.equal(inspect(first, host), '200000000 200000000 500000000 60');
    const { run } = await say(pool, 'head -c 400000000 /dev/zero | tail -c 300000000 > /dev/null; exit $?');
    assert.deepEqual(run.state === 'ended' && run.exit, { kind: 'exited', code: 137 });
    assert.match((await say(pool, 'dd if=/dev/zero of=big bs=1000000 count=30')).said, /No space left on device/);
    assert.equal((await pool.reconcile({ isLeased: async () => true }))[0]?.boot, boot);
  });

  test('a container that was killed is evidence, and one that is not there is made again over what it left', async () => {
    await using stage = await openStage();
    await using pool = await stage.open({ size: 1 });
    await until(pool, isUp(first));
    await stage.crash(first);
    const [killed] = await pool.reconcile({});
    assert.match(killed?.evidence ?? '', /^its container ended with exit code 137, signal 9/);
    await until(pool, isUp(first));
    daemon.docker('rm', '-f', inspect(first, '{{.Id}}'));
    const [gone] = await pool.reconcile({});
    assert.equal(gone?.evidence, 'it has no container');
    await until(pool, isUp(first));
  });

  test('two farms on one daemon never touch each other’s machines', async () => {
    await using one = await openStage();
    await using other = await openStage();
    await using pool = await one.open({ size: 1 });
    await using others = await other.open({ size: 1 });
    await Promise.all([until(pool, isUp(first)), until(others, isUp(first))]);
    await pool.endAll({});
    assert.deepEqual(isUp(first)(await others.reconcile({})), true);
    assert.equal((await one.remains()).length, 0);
    assert.equal((await other.remains()).length, 1);
  });

  test('what a pool left that the farm has no more is removed; the containers of a farm that is gone are told, with what to do', async () => {
    await using stage = await openStage();
    {
      await using former = await stage.open({ name: 'former', size: 1 });
      await until(former, (machines) => machines[0]?.state === 'up');
    }
    const gone = await openStage();
    {
      await using pool = await gone.open({ size: 1 });
      await until(pool, isUp(first));
    }
    await rm(gone.dir, { recursive: true });
    await using pool = await stage.open({ size: 1, pools: () => ['docker', 'former'] });
    await until(pool, isUp(first));
    const formerOnes = (): string => daemon.docker('ps', '-aq', '--filter', 'label=croft.pool=former');
    assert.notEqual(formerOnes(), '', 'it is drained by its own pool');
    await using another = await stage.open({ size: 1 });
    await another.reconcile({});
    assert.equal(formerOnes(), '');
    const [told = ''] = another.strays?.() ?? [];
    assert.ok(told.startsWith(`the farm of ${gone.dir} is gone`), told);
    const [command = ''] = /docker (.*)$/.exec(told)?.slice(1) ?? [];
    daemon.docker(...command.split(' '));
    await another.reconcile({});
    assert.deepEqual(another.strays?.(), []);
  });

  test('variables of the image are for commands: the Node that runs the buildlet does not get them', async () => {
    await using stage = await openStage();
    const settled = ['NODE_OPTIONS=--no-such-option', 'LD_LIBRARY_PATH=/nothing', 'META_password=known', 'JAVA_HOME=/jdk=1'];
    const made = daemon.docker('create', daemon.image, 'true').trim();
    daemon.docker('commit', ...settled.flatMap((entry) => ['--change', `ENV ${entry}`]), made, 'croft-variables:1');
    daemon.docker('rm', made);
    await using pool = await stage.open({ size: 1, image: 'croft-variables:1' });
    await until(pool, isUp(first));
    const { said } = await say(pool, 'env');
    assert.match(said, /^JAVA_HOME=\/jdk=1$/m);
    assert.match(said, /^LD_LIBRARY_PATH=\/nothing$/m);
    assert.doesNotMatch(said, /NODE_OPTIONS|META_|CROFT_COMMAND/);
  });

  test('a machine whose image is missing or whose network does not exist says so, and comes once it is there', async () => {
    await using stage = await openStage();
    await using pool = await stage.open({ size: 1, image: 'croft-late:1' });
    const [first_] = await until(pool, ([machine]) => /does not have its image croft-late:1: (?!pulling)/.test(machine?.evidence ?? ''));
    assert.equal(first_?.state, 'down');
    daemon.docker('tag', daemon.image, 'croft-late:1');
    await until(pool, isUp(first));
    await pool.endAll({});
    await using lost = await stage.open({ size: 1, network: 'nowhere' });
    await until(lost, ([machine]) => /network nowhere not found/.test(machine?.evidence ?? ''));
  });

  test('while the daemon is away nobody can say how its machines are; afterwards they come back with what they had not told', async () => {
    await using stage = await openStage();
    await using pool = await stage.open({ size: 1 });
    await until(pool, isUp(first));
    const id = 'B0123456789abcdef.1.test' as RunId;
    await pool
      .connect(first)
      .startOrAttach(id, { argv: ['sleep', '60'], dir: '.', env: {}, limitMs: 60_000, outputLimitBytes: 1_000 }, 1, {});
    await daemon.stop();
    await assert.rejects(pool.reconcile({}), (error) => isCode(error, 'unavailable') && /does not answer/.test(String(error)));
    await daemon.start();
    await until(pool, isUp(first));
    const run = await pool.connect(first).run(id, { waitMs: 10_000 });
    assert.equal(typeof run === 'string' ? run : run.state === 'ended' && run.exit.kind, 'lost');
  });

  test('what a hostile command puts in the place of the socket leads nowhere', async () => {
    await using stage = await openStage();
    await using pool = await stage.open({ size: 1 });
    await until(pool, isUp(first));
    await say(pool, `rm /croft/state/buildlet.sock && ln -s ${daemon.socketPath} /croft/state/buildlet.sock`).catch(() => undefined);
    await using another = await stage.open({ size: 1 }); // without a connection that stands
    await until(another, ([machine]) => machine?.state === 'silent' && /is not a socket any more/.test(machine.evidence ?? ''));
    await another.replace(first, 'the test says so', {});
    await until(another, isUp(first));
  });

  test('a machine serves one build: afterwards another takes its place, without what the first left behind', async () => {
    await using stage = await openStage();
    await using pool = await stage.open();
    const before = await until(pool, isUp(first, second));
    await say(pool, 'touch /left "$HOME/left" /croft/state/left');
    const leased = await pool.reconcile({ isLeased: async (id) => id === first });
    assert.deepEqual([leased[0]?.boot, leased[0]?.held], [before[0]?.boot, undefined]);
    const [told] = await pool.reconcile({});
    assert.deepEqual([told?.held, told?.draining, told?.boot], ['is made anew for the next build', true, before[0]?.boot]);
    const after = await until(pool, (machines) => isUp(first)(machines) && machines[0]?.boot !== before[0]?.boot);
    assert.equal(after[1]?.boot, before[1]?.boot);
    const { said } = await say(pool, 'ls / "$HOME" /croft/state');
    assert.doesNotMatch(said, /left/);
  });

  test('machines become what is declared once nobody works on them', async () => {
    await using stage = await openStage();
    await using pool = await stage.open({ size: 1 });
    const [before] = await until(pool, isUp(first));
    pool.declare({ ...settings(), size: 1, cpus: 1, hostType: 'host-new' });
    const [leased] = await pool.reconcile({ isLeased: async () => true });
    assert.deepEqual([leased?.boot, leased?.hostType], [before?.boot, 'host-new']);
    await until(pool, ([machine]) => machine?.state === 'up' && machine.boot !== before?.boot);
    assert.equal(inspect(first, '{{.HostConfig.NanoCpus}}'), '1000000000');
    pool.drain();
    await until(pool, (machines) => machines.length === 0);
    assert.deepEqual(await readdir(stage.dir), ['gone']);
  });
});
