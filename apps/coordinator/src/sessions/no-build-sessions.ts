/** Sessions about builds, on a farm that has none yet. */
import { CroftError } from '@croft/runtime/errors';
import type { BuildSessions } from './sessions.ts';

export const noBuildSessions: BuildSessions = { hold: refuse, unhold: refuse, repro: refuse, enter: refuse };

async function refuse(): Promise<never> {
  throw new CroftError('unavailable', 'this farm keeps no machines of builds yet');
}
