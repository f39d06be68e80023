/** Opens pools of each kind over the data directory. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { prepareContainerNode, type ContainerNode } from '@croft/fleet/container-node';
import { openDockerPool } from '@croft/fleet/docker-pool';
import { openLocalPool } from '@croft/fleet/local-pool';
import type { ReverseDesk } from '@croft/fleet/reverse-desk';
import type { MachineId } from '@croft/domain/names';
import type { Clock } from '@croft/runtime/clock';
import type { Log } from '@croft/runtime/log';
import type { Random } from '@croft/runtime/random';
import type { Distribution } from '../distribution/distribution.ts';
import type { Openers } from './pools.ts';

export interface OpenerDeps {
  /** The buildlet's program is made when it is first asked for. */
  readonly distribution: () => Promise<Distribution>;
  readonly env: NodeJS.ProcessEnv;
  readonly desk: ReverseDesk;
  /** Machines that an earlier process had of a pool. */
  known(pool: string): Promise<readonly MachineId[]>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export function createOpeners(dataDir: string, { distribution, env, desk, known, ...deps }: OpenerDeps): Openers {
  const node = (): Promise<ContainerNode> => prepareContainerNode(join(dataDir, 'programs'));
  return {
    local(pool) {
      const command = async () => [process.execPath, '--disable-warning=ExperimentalWarning', (await distribution()).program] as const;
      return openLocalPool({ ...pool, dir: join(dataDir, 'machines'), command, env }, deps);
    },
    docker(pool, names) {
      const files = async (): Promise<string[]> => {
        const { dir, program, manifest } = await distribution();
        return [program, ...manifest.files.map(({ name }) => join(dir, name)).filter((path) => path !== program)];
      };
      return openDockerPool({ ...pool, dir: join(dataDir, 'containers'), node, program: files, pools: names }, deps);
    },
    async reverse({ name }) {
      const spoolDir = join(dataDir, 'spools', name);
      await rm(spoolDir, { recursive: true, force: true }); // of commands that ended with an earlier coordinator
      return desk.open({ name, known: await known(name), spoolDir });
    },
  };
}
