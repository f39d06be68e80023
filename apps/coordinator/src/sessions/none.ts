/** Sessions of a farm that lends no machines yet. */
import { CroftError } from '@croft/runtime/errors';
import type { Sessions } from './sessions.ts';

export const noSessions: Sessions = {
  create: refuse,
  list: async () => [],
  get: refuse,
  async *follow() {
    yield await refuse();
  },
  extend: refuse,
  share: refuse,
  note: refuse,
  end: refuse,
  enter: refuse,
  builds: { hold: refuse, unhold: refuse, repro: refuse, enter: refuse },
};

async function refuse(): Promise<never> {
  throw new CroftError('unavailable', 'this farm lends no machines yet');
}
