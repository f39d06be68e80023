import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decide, hiddenRules, type PolicyQuestion, type PolicyRule } from './policy.ts';

const everything: Omit<PolicyRule, 'allow'> = {
  builders: [],
  repos: [],
  branches: [],
  toolchainBranches: [],
  paths: [],
  triggers: [],
  tests: [],
};
const allow = (of: Partial<PolicyRule> = {}): PolicyRule => ({ ...everything, ...of, allow: true });
const deny = (of: Partial<PolicyRule> = {}): PolicyRule => ({ ...everything, ...of, allow: false });
const asked: PolicyQuestion = { builder: 'linux', repo: 'app', branch: 'main', trigger: 'branch' };

test('the first rule that matches decides, and what none matches is built', () => {
  const rules = [allow({ builders: ['linux'] }), deny({ repos: ['app'] })];
  assert.deepEqual(decide(rules, asked), { allowed: true, rule: 0 });
  assert.deepEqual(decide(rules, { ...asked, builder: 'mac' }), { allowed: false, rule: 1 });
  assert.deepEqual(decide(rules, { ...asked, builder: 'mac', repo: 'lib' }), { allowed: true, rule: undefined });
});

test('each list that a rule has must match', () => {
  const rule = deny({ builders: ['l*'], repos: ['app'], branches: ['release/*'], triggers: ['change'] });
  const match = { ...asked, branch: 'release/1', trigger: 'change' } as const;
  assert.equal(decide([rule], match).allowed, false);
  for (const other of [{ builder: 'mac' }, { repo: 'lib' }, { branch: 'main' }, { trigger: 'asked' }] as const) {
    assert.equal(decide([rule], { ...match, ...other }).allowed, true, JSON.stringify(other));
  }
});

test('a commit is denied by path only when all that it changes is named, and allowed when something is', () => {
  const words = [deny({ paths: ['docs/**', '**/*.md'] })];
  assert.equal(decide(words, { ...asked, paths: ['README.md', 'docs/a/b.png'] }).allowed, false);
  assert.equal(decide(words, { ...asked, paths: ['README.md', 'src/a.ts'] }).allowed, true);
  const sources = [allow({ paths: ['src/**'] }), deny()];
  assert.equal(decide(sources, { ...asked, paths: ['README.md', 'src/a.ts'] }).allowed, true);
  assert.equal(decide(sources, { ...asked, paths: ['README.md'] }).allowed, false);
});

test('where it is not known what was changed, it is built rather than not', () => {
  assert.equal(decide([deny({ paths: ['**'] })], asked).allowed, true);
  assert.equal(decide([allow({ paths: ['src/**'] }), deny()], asked).allowed, true);
  assert.equal(decide([deny({ paths: ['**'] })], { ...asked, paths: [] }).allowed, true);
});

test('a rule about the toolchain’s branch says nothing about what has none', () => {
  const old = [deny({ toolchainBranches: ['release/1'] })];
  assert.equal(decide(old, { ...asked, toolchainBranch: 'release/1' }).allowed, false);
  assert.equal(decide(old, { ...asked, branch: 'release/1' }).allowed, true);
});

test('rules about tests decide about tests alone', () => {
  const rules = [deny({ tests: ['api'] }), allow()];
  assert.deepEqual(decide(rules, asked), { allowed: true, rule: 1 });
  assert.equal(decide(rules, { ...asked, test: 'api' }).allowed, false);
  assert.deepEqual(decide(rules, { ...asked, test: 'unit' }), { allowed: true, rule: undefined });
});

const names = ['a', 'b', 'ab', 'a/b'];
const list = fc.array(fc.constantFrom('a', 'b', 'ab', 'a*', '*', '**', 'a/*', '!a', '!a*'), { maxLength: 2 });
const kinds = ['branch', 'change', 'asked'] as const;
const anyRule = fc.record<PolicyRule>({
  allow: fc.boolean(),
  builders: list,
  repos: list,
  branches: list,
  toolchainBranches: list,
  paths: list,
  triggers: fc.uniqueArray(fc.constantFrom(...kinds), { maxLength: 2 }),
  tests: fc.oneof(fc.constant([]), list),
});
const name = fc.constantFrom(...names);
const anyQuestion = fc.record<PolicyQuestion>({
  builder: name,
  repo: name,
  branch: name,
  toolchainBranch: fc.option(name, { nil: undefined }),
  trigger: fc.constantFrom(...kinds),
  paths: fc.option(fc.array(name, { maxLength: 2 }), { nil: undefined }),
  test: fc.option(name, { nil: undefined }),
});

test('rules after the one that decides change nothing, and one that decides does so alone', () => {
  fc.assert(
    fc.property(fc.array(anyRule, { maxLength: 5 }), fc.array(anyRule, { maxLength: 3 }), anyQuestion, (rules, more, question) => {
      const { allowed, rule } = decide(rules, question);
      if (rule === undefined) return assert.ok(allowed && rules.every((one) => decide([one], question).rule === undefined));
      assert.deepEqual(decide([...rules, ...more], question), { allowed, rule });
      assert.deepEqual(decide(rules.slice(rule, rule + 1), question), { allowed, rule: 0 });
    }),
    { numRuns: 2_000 },
  );
});

test('a rule that is called hidden can be left out without changing any answer', () => {
  let hiddenOnes = 0;
  const rules = fc
    .array(anyRule, { minLength: 2, maxLength: 5 })
    .map((all) => all.map((rule) => ({ ...rule, paths: rule.paths.slice(1) })));
  fc.assert(
    fc.property(rules, fc.array(anyQuestion, { minLength: 20, maxLength: 20 }), (all, questions) => {
      for (const { rule, by } of hiddenRules(all)) {
        hiddenOnes += 1;
        assert.ok(by < rule);
        for (const question of questions) assert.notEqual(decide(all, question).rule, rule, JSON.stringify([all[by], all[rule], question]));
      }
    }),
    { numRuns: 3_000 },
  );
  assert.ok(hiddenOnes > 20, `${hiddenOnes}`);
});
