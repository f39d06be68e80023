/** Opens pools of each kind over the data directory. */
import { join } from 'node:path';
import { openLocalPool } from '@croft/fleet/local-pool';
import type { Clock } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import type { Random } from '@croft/runtime/random';
import type { Distribution } from '../distribution/distribution.ts';
import type { Openers } from './pools.ts';

export interface OpenerDeps {
  /** The buildlet's program is made when it is first asked for. */
  readonly distribution: () => Promise<Distribution>;
  readonly env: NodeJS.ProcessEnv;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export function createOpeners(dataDir: string, { distribution, env, ...deps }: OpenerDeps): Openers {
  return {
    local(pool) {
      const command = async () => [process.execPath, '--disable-warning=ExperimentalWarning', (await distribution()).program] as const;
      return openLocalPool({ ...pool, dir: join(dataDir, 'machines'), command, env }, deps);
    },
    async docker({ name }) {
      throw new CroftError('invalid', `the pool ${name} cannot be opened: Docker is not spoken to yet`);
    },
  };
}
