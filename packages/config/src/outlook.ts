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
    branches: branchesOf(repo, branch).map((one) => ({ branch: one, groups: groupsOf(config, repo.name, one) })),
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

/** A pattern stands for the branches that it matches. Without any it is the branch of HEAD, whose name is not known here. */
function branchesOf({ branches }: Repository, asked: string | undefined): readonly string[] {
  if (asked !== undefined) return branches.length === 0 || selects(branches, asked) ? [asked] : [];
  const included = branches.filter((pattern) => !pattern.startsWith('!'));
  if (branches.length === 0) return ['HEAD'];
  return included.length === 0 ? ['**'] : included;
}

function groupsOf({ builders, policies }: FarmConfig, repo: Repository['name'], branch: string): BuilderGroup[] {
  const groups = new Map<string, { builders: string[]; verdicts: TriggerVerdict[] }>();
  for (const builder of builders) {
    if (!builder.repos.includes(repo) || (branch !== 'HEAD' && !canMeet(builder.branches, branch))) continue;
    const verdicts = triggers.map((trigger): TriggerVerdict => {
      const { allowed, rule } = decide(policies, { builder: builder.name, repo, branch, trigger });
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
