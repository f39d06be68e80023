/**
 * What is built at all: an ordered list of rules over builder, repository, branch, path and kind of trigger. The first rule that
 * matches decides; what none matches is built. Follows coordinator.md 7.4 (POL-1 to POL-7), as data.
 */
import type { Trigger } from './job.ts';
import { isLiteral, selects } from './pattern.ts';

/** Each list holds patterns; an empty one matches everything. */
export interface PolicyRule {
  readonly allow: boolean;
  readonly builders: readonly string[];
  readonly repos: readonly string[];
  readonly branches: readonly string[];
  /** Branch of the toolchain that the repository is built with. */
  readonly toolchainBranches: readonly string[];
  /** An allowing rule needs one changed path, a denying one needs that every changed path matches. */
  readonly paths: readonly string[];
  readonly triggers: readonly Trigger['kind'][];
  /** Not empty: the rule is about single tests of a build and says nothing about the build. */
  readonly tests: readonly string[];
  /** For people. */
  readonly why?: string | undefined;
}

export interface PolicyQuestion {
  readonly builder: string;
  readonly repo: string;
  readonly branch: string;
  /** For a toolchain itself its own branch; undefined for what needs none. */
  readonly toolchainBranch?: string | undefined;
  readonly trigger: Trigger['kind'];
  /** What the commit changed; undefined when that is not known, and then rules never deny by path. */
  readonly paths?: readonly string[] | undefined;
  /** One test of the build. */
  readonly test?: string | undefined;
}

export interface Verdict {
  readonly allowed: boolean;
  /** Index of the rule that decided; undefined when none matched. */
  readonly rule: number | undefined;
}

export function decide(rules: readonly PolicyRule[], question: PolicyQuestion): Verdict {
  const rule = rules.findIndex((candidate) => matches(candidate, question));
  return rule < 0 ? { allowed: true, rule: undefined } : { allowed: rules[rule]?.allow ?? true, rule };
}

/** Rules that can never decide, each with the earlier one that takes everything it could match. */
export function hiddenRules(rules: readonly PolicyRule[]): { rule: number; by: number }[] {
  return rules.flatMap((rule, index) => {
    const by = rules.slice(0, index).findIndex((earlier) => covers(earlier, rule));
    return by < 0 ? [] : [{ rule: index, by }];
  });
}

function matches(rule: PolicyRule, { builder, repo, branch, toolchainBranch, trigger, paths, test }: PolicyQuestion): boolean {
  return (
    (test === undefined ? rule.tests.length === 0 : rule.tests.length > 0 && selects(rule.tests, test)) &&
    selects(rule.builders, builder) &&
    selects(rule.repos, repo) &&
    selects(rule.branches, branch) &&
    (rule.toolchainBranches.length === 0 || (toolchainBranch !== undefined && selects(rule.toolchainBranches, toolchainBranch))) &&
    (rule.triggers.length === 0 || rule.triggers.includes(trigger)) &&
    matchesPaths(rule, paths)
  );
}

function matchesPaths({ allow, paths: patterns }: PolicyRule, paths: readonly string[] | undefined): boolean {
  if (patterns.length === 0) return true;
  if (paths === undefined) return allow;
  const selected = (path: string): boolean => selects(patterns, path);
  return allow ? paths.some(selected) : paths.length > 0 && paths.every(selected);
}

const lists = ['builders', 'repos', 'branches', 'toolchainBranches', 'tests'] as const;

function covers(earlier: PolicyRule, later: PolicyRule): boolean {
  if (earlier.tests.length > 0 !== later.tests.length > 0) return false;
  const triggers = later.triggers.length > 0 && later.triggers.every((kind) => earlier.triggers.includes(kind));
  if (earlier.triggers.length > 0 && !triggers) return false;
  if (earlier.paths.length > 0 && (earlier.allow !== later.allow || !coversList(earlier.paths, later.paths))) return false;
  return lists.every((list) => coversList(earlier[list], later[list]));
}

/** Surely covered: never says yes wrongly. */
function coversList(earlier: readonly string[], later: readonly string[]): boolean {
  if (earlier.length === 0 || JSON.stringify(earlier) === JSON.stringify(later)) return true;
  const includes = later.filter((pattern) => !pattern.startsWith('!'));
  if (includes.length === 0) return false;
  return includes.every((pattern) =>
    isLiteral(pattern) ? selects(earlier, pattern) : earlier.some((same) => same === pattern || same === '**') && !earlier.some(excludes),
  );
}

function excludes(pattern: string): boolean {
  return pattern.startsWith('!');
}
