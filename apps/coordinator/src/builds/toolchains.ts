/** What a repository is built with (FW-6): the tips of its toolchains' branches as of their last look. */
import type { Dependents } from '@croft/config/farm-config';
import { selects } from '@croft/domain/pattern';
import type { Waits } from '@croft/runtime/clock';
import type { Toolchain } from './find-work.ts';
import type { Sources } from './source.ts';

/** None where a toolchain was not looked at yet: its first look asks for this repository again. Undefined for what needs none. */
export async function toolchainsOf(
  repo: string,
  { dependents, sources }: { dependents: readonly Dependents[]; sources: Pick<Sources, 'mirror'> },
  waits: Waits,
): Promise<Toolchain[] | undefined> {
  const mine = dependents.filter(({ repos }) => repos.some((name) => name === repo));
  if (mine.length === 0) return undefined;
  const tips = await Promise.all(
    mine.map(async ({ toolchain, branches }) => {
      const mirror = await sources.mirror(toolchain);
      const preferred = await mirror.defaultBranch(waits);
      const patterns = branches.length > 0 || preferred === undefined ? branches : [preferred];
      const all = (await mirror.branches(waits)).filter(({ name }) => selects(patterns, name));
      const first = all.filter(({ name }) => name === preferred);
      return [...new Set([...first, ...all])].map(({ name, revision }): Toolchain => ({ repo: toolchain, branch: name, revision }));
    }),
  );
  return tips.flat();
}

/** Those that are built with this one. */
export function dependentsOf(repo: string, dependents: readonly Dependents[]): string[] {
  return [...new Set(dependents.filter(({ toolchain }) => toolchain === repo).flatMap(({ repos }) => repos))];
}
