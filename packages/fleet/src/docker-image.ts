/** The image of a pool's machines: there, or pulled in the background once for all machines that wait for it. */
import { SECOND, type Clock, type Waits } from '@croft/runtime/clock';
import { CroftError, errorText } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import { createTaskGroup } from '@croft/runtime/tasks';
import type { Daemon, ImageFacts } from './docker-daemon.ts';

export interface Images extends AsyncDisposable {
  /** @throws CroftError `unavailable` while it is being pulled, and with the reason when that failed; asking again tries again */
  need(name: string, waits: Waits): Promise<ImageFacts>;
}

interface Pull {
  readonly startedAt: number;
  readonly tries: number;
  failedAt?: number;
  why?: string;
}

const longestPauseMs = 300 * SECOND;

export function createImages(daemon: Daemon, { clock, log }: { clock: Clock; log: Log }): Images {
  const pulls = new Map<string, Pull>();
  const tasks = createTaskGroup((image, error) => log.error('image not pulled', { image, error }));
  const begin = (name: string, tries: number): void => {
    const pull: Pull = { startedAt: clock.monotonic(), tries };
    pulls.set(name, pull);
    tasks.start(name, async (waits) => {
      try {
        await daemon.pull(name, waits);
        log.info('image pulled', { image: name });
        pulls.delete(name);
      } catch (error) {
        waits.signal.throwIfAborted();
        pull.failedAt = clock.monotonic();
        pull.why = errorText(error);
      }
    });
  };
  return {
    async need(name, waits) {
      const facts = await daemon.image(name, waits);
      if (facts) return facts;
      const pull = pulls.get(name);
      const now = clock.monotonic();
      if (!pull) begin(name, 1);
      else if (pull.failedAt !== undefined && now - pull.failedAt >= Math.min(longestPauseMs, SECOND * 2 ** pull.tries))
        begin(name, pull.tries + 1);
      const why = pull?.why ?? `pulling it for ${Math.round((now - (pull?.startedAt ?? now)) / SECOND)} s`;
      throw new CroftError('unavailable', `the Docker daemon does not have its image ${name}: ${why}`);
    },
    [Symbol.asyncDispose]: () => tasks[Symbol.asyncDispose](),
  };
}
