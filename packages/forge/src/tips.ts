/** The newest commits of the branches that patterns select. */
import { selects } from '@croft/domain/pattern';
import type { Waits } from '@croft/runtime/clock';
import type { Branch, Mirror } from './git.ts';

/** As of the last fetch, that of the branch that HEAD is on first; without patterns that one alone. */
export async function tipsOf(
  mirror: Pick<Mirror, 'branches' | 'defaultBranch'>,
  patterns: readonly string[],
  waits: Waits,
): Promise<Branch[]> {
  const preferred = await mirror.defaultBranch(waits);
  const wanted = patterns.length > 0 || preferred === undefined ? patterns : [preferred];
  const all = (await mirror.branches(waits)).filter(({ name }) => selects(wanted, name));
  return [...new Set([...all.filter(({ name }) => name === preferred), ...all])];
}
