/** What a configuration would build and why: for each repository and branch the builders, by what the policies say about them. Pure. */
import type { Trigger } from '@croft/domain/job';
import { isLiteral, selects } from '@croft/domain/pattern';
import { decide } from '@croft/domain/policy';
import type { FarmConfig, Repository } from './farm-config.ts';

export interface Outlook {
  readonly repos: readonly RepositoryOutlook[];
  /** Builders that nothing is built by, whatever comes. */
  readonly idle: readonly string[];
}

export interface RepositoryOutlook {
  readonly name: string;
  readonly branches: readonly BranchOutlook[];
}

export interface BranchOutlook {
  /** A name or a pattern. */
  readonly branch: string;
  /** What it is built with, if anything; its branch is a name or a pattern, too. */
  readonly toolchain?: { readonly repo: string; readonly branch: string };
  readonly groups: readonly BuilderGroup[];
}

/** Builders about which the same rules say the same. */
export interface BuilderGroup {
  readonly builders: readonly string[];
  readonly verdicts: readonly TriggerVerdict[];
}

export interface TriggerVerdict {
  readonly trigger: Trigger['kind'];
  readonly allowed: boolean;
  /** As in `policies.3`; absent when no rule matches. */
  readonly rule?: string;
  readonly why?: string;
}

const triggers = ['branch', 'change', 'asked'] as const;

/** `branch`: asks about this one instead of those that are configured. */
export function outlookOf(config: FarmConfig, { branch }: { branch?: string | undefined } = {}): Outlook {
  const repos = config.repos.map((repo) => ({
    name: repo.name,
    branches: branchesOf(repo, branch).flatMap((one) =>
      toolchainsOf(repo.name, config).map((toolchain): BranchOutlook => {
        const groups = groupsOf(config, {
          repo: repo.name,
          branch: one,
          toolchainBranch: toolchain?.branch ?? ownOf(repo.name, one, config),
        });
        return toolchain ? { branch: one, toolchain, groups } : { branch: one, groups };
      }),
    ),
  }));
  const built = new Set(
    repos.flatMap(({ branches }) =>
      branches.flatMap(({ groups }) =>
        groups.filter(({ verdicts }) => verdicts.some(({ allowed }) => allowed)).flatMap(({ builders }) => builders),
      ),
    ),
  );
  return { repos, idle: config.builders.map(({ name }) => name as string).filter((name) => !built.has(name)) };
}

/** Undefined stands for a build without any. */
function toolchainsOf(repo: Repository['name'], { dependents }: FarmConfig): readonly BranchOutlook['toolchain'][] {
  const mine = dependents.filter(({ repos }) => repos.includes(repo));
  if (mine.length === 0) return [undefined];
  return mine.flatMap(({ toolchain, branches }) => included(branches).map((branch) => ({ repo: toolchain, branch })));
}

/** A toolchain counts as its own. */
function ownOf(repo: Repository['name'], branch: string, { dependents }: FarmConfig): string | undefined {
  return dependents.some(({ toolchain }) => toolchain === repo) ? branch : undefined;
}

/** A pattern stands for the branches that it matches. Without any it is the branch of HEAD, whose name is not known here. */
function branchesOf({ branches }: Repository, asked: string | undefined): readonly string[] {
  if (asked !== undefined) return branches.length === 0 || selects(branches, asked) ? [asked] : [];
  return included(branches);
}

function included(branches: readonly string[]): readonly string[] {
  const names = branches.filter((pattern) => !pattern.startsWith('!'));
  if (branches.length === 0) return ['HEAD'];
  return names.length === 0 ? ['**'] : names;
}

interface Place {
  readonly repo: Repository['name'];
  readonly branch: string;
  readonly toolchainBranch: string | undefined;
}

function groupsOf({ builders, policies }: FarmConfig, { repo, branch, toolchainBranch }: Place): BuilderGroup[] {
  const groups = new Map<string, { builders: string[]; verdicts: TriggerVerdict[] }>();
  for (const builder of builders) {
    if (!builder.repos.includes(repo) || (branch !== 'HEAD' && !canMeet(builder.branches, branch))) continue;
    const verdicts = triggers.map((trigger): TriggerVerdict => {
      const { allowed, rule } = decide(policies, { builder: builder.name, repo, branch, toolchainBranch, trigger });
      const why = rule === undefined ? undefined : policies[rule]?.why;
      return { trigger, allowed, ...(rule === undefined ? {} : { rule: `policies.${rule}` }), ...(why === undefined ? {} : { why }) };
    });
    const key = JSON.stringify(verdicts);
    const group = groups.get(key) ?? { builders: [], verdicts };
    group.builders.push(builder.name);
    groups.set(key, group);
  }
  return [...groups.values()];
}

/** Whether a branch of this name, or one that this pattern matches, may be among them. */
function canMeet(patterns: readonly string[], branch: string): boolean {
  return selects(patterns, branch) || (!isLiteral(branch) && patterns.some((pattern) => isLiteral(pattern) && selects([branch], pattern)));
}
