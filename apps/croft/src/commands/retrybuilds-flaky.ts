/** Which rule, if any, takes a failure's log for that of a flake; and rules read from a file, with what is wrong about them. Pure. */
import { CroftError } from '@croft/runtime/errors';
import type { FlakyRule } from './retrybuilds-rules.ts';

export function flakyRuleOf(log: string, rules: readonly FlakyRule[]): FlakyRule | undefined {
  const newlines = countNewlines(log);
  const inner = countNewlines(log.trim());
  return rules.find(
    (rule) =>
      (rule.startsWith === undefined || log.startsWith(rule.startsWith)) &&
      (rule.contains ?? []).every((text) => log.includes(text)) &&
      (rule.containsAny?.some((text) => log.includes(text)) ?? true) &&
      newlines < (rule.newlinesBelow ?? Infinity) &&
      inner < (rule.innerNewlinesBelow ?? Infinity),
  );
}

/** @param source names the text in a failure. @throws CroftError `invalid` with the first mistake */
export function parseFlakyRules(text: string, source: string): FlakyRule[] {
  const wrong = (mistake: string): never => {
    throw new CroftError('invalid', `${source}: ${mistake}`, {
      hint: 'It holds {"rules": […]}; "croft retrybuilds --print-rules" shows how rules are written.',
    });
  };
  const rules = (readJson(text, wrong) as { rules?: unknown } | null)?.rules;
  if (!Array.isArray(rules)) return wrong('there is no list "rules"');
  return rules.map((rule: unknown, index) => checkRule(rule, (mistake) => wrong(`rule ${index + 1}: ${mistake}`)));
}

type Wrong = (mistake: string) => never;

function readJson(text: string, wrong: Wrong): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    return wrong(`it is not JSON: ${(error as Error).message}`);
  }
}

const kinds: Readonly<Record<keyof FlakyRule, { is: (value: unknown) => boolean; called: string }>> = {
  name: { is: isText, called: 'a text' },
  why: { is: isText, called: 'a text' },
  broad: { is: (value) => typeof value === 'boolean', called: 'true or false' },
  startsWith: { is: isText, called: 'a text' },
  contains: { is: isTexts, called: 'a list of texts' },
  containsAny: { is: isTexts, called: 'a list of texts' },
  newlinesBelow: { is: isCount, called: 'a whole number above 0' },
  innerNewlinesBelow: { is: isCount, called: 'a whole number above 0' },
};
const conditions = ['startsWith', 'contains', 'containsAny', 'newlinesBelow', 'innerNewlinesBelow'];

function checkRule(rule: unknown, wrong: Wrong): FlakyRule {
  if (typeof rule !== 'object' || rule === null) return wrong('it is not an object');
  for (const [key, value] of Object.entries(rule)) {
    const kind = Object.hasOwn(kinds, key) ? kinds[key as keyof FlakyRule] : undefined;
    if (!kind) return wrong(`${JSON.stringify(key)} is not known; there are: ${Object.keys(kinds).join(', ')}`);
    if (!kind.is(value)) return wrong(`"${key}" is to be ${kind.called}`);
  }
  if (!('name' in rule && 'why' in rule)) return wrong('it needs "name" and "why"');
  if (!conditions.some((condition) => condition in rule)) return wrong(`it matches everything; give it one of: ${conditions.join(', ')}`);
  return rule as FlakyRule;
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value !== '';
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.every(isText);
}

function isCount(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) > 0;
}

function countNewlines(text: string): number {
  let count = 0;
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) count += 1;
  return count;
}
