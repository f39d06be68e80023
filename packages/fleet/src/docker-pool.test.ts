import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe } from 'node:test';
import { systemClock } from '@croft/runtime/clock';
import { silentLog } from '@croft/runtime/log';
import { systemRandom } from '@croft/runtime/random';
import { openDockerPool, type DockerPool, type DockerPoolOptions } from './docker-pool.ts';
import { poolContract, type PoolStage } from './pool-contract.ts';
import { dockerMissing, startDocker, type TestDaemon } from './testing-docker.ts';

const skip = dockerMissing(process.env);
let daemon: TestDaemon;

interface DockerStage extends PoolStage {
  readonly dir: string;
  open(options?: Partial<DockerPoolOptions>): Promise<DockerPool>;
}

async function openStage(): Promise<DockerStage> {
  const dir = await mkdtemp(join(tmpdir(), 'croft-containers-'));
  const open = (options: Partial<DockerPoolOptions> = {}): Promise<DockerPool> =>
    openDockerPool(
      {
        name: 'docker',
        dir,
        size: 2,
        hostType: 'host-test',
        labels: ['test'],
        orphanedMs: 60_000,
        image: daemon.image,
        socketPath: daemon.socketPath,
        network: 'none',
        mounts: [],
        processes: 500,
        readOnly: false,
        node: async () => daemon.node,
        program: async () => [daemon.program],
        ...options,
      },
      { clock: systemClock, random: systemRandom, log: silentLog },
    );
  const containers = (): string[] => daemon.docker('ps', '-aq', '--filter', 'label=croft.pool').split('\n').filter(Boolean);
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

describe('with a Docker daemon', { skip }, () => {
  before(async () => void (daemon = await startDocker()));
  after(() => daemon?.[Symbol.asyncDispose]());
  poolContract('docker', openStage);
});
