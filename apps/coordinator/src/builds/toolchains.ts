/** What a repository is built with (FW-6): the tips of its toolchains' branches as of their last look. */
import type { Dependents } from '@croft/config/farm-config';
import { tipsOf } from '@croft/forge/tips';
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
  const all = await Promise.all(
    mine.map(async ({ toolchain, branches }) => {
      const mirror = await sources.mirror(toolchain);
      const tips = await tipsOf(mirror, branches, waits);
      return tips.map(({ name, revision }): Toolchain => ({ repo: toolchain, branch: name, revision }));
    }),
  );
  return all.flat();
}

/** Those that are built with this one. */
export function dependentsOf(repo: string, dependents: readonly Dependents[]): string[] {
  return [...new Set(dependents.filter(({ toolchain }) => toolchain === repo).flatMap(({ repos }) => repos))];
}
