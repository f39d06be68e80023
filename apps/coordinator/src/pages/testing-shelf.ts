/** What there is to look through, for page tests; `text` stands wherever somebody else may write. */
import type { FakeFarm } from './testing.ts';
import { testAttempt, testBuild, testCommit, testDetail, testNow, testStep } from './testing-views.ts';

export function fillShelf(farm: FakeFarm, text = 'a plain text'): void {
  const { shelf } = farm.browse;
  const commit = testCommit({ subject: text, authorName: text, authorEmail: text });
  const failed = testBuild({ id: 'B00000000000000ff', builder: text, end: { kind: 'failed', step: 'test', text } });
  const builds = [testBuild({ repo: 'croft' }), failed];
  const tip = { branch: text, commit, builds };
  shelf.repos = [
    { name: 'croft', branches: 2, tip },
    { name: text, branches: 0, tip: undefined },
  ];
  shelf.repo = { name: 'croft', defaultBranch: text, branches: [tip], more: 3, builders: [text] };
  shelf.commit = {
    commit,
    parents: ['b'.repeat(40)],
    branches: [text, 'main'],
    older: testCommit({ revision: 'b'.repeat(40), subject: text }),
    newer: undefined,
    builds: builds.map((build, at) => ({ build, beside: at === 0 ? [] : [{ repo: text, revision: 'c'.repeat(40) }] })),
    dependents: [{ build: testBuild({ id: 'B00000000000000fe', repo: text, builder: text }), beside: [] }],
  };
  shelf.builders = [
    {
      name: 'linux-amd64',
      repos: ['croft', text],
      recent: builds,
      rate: { passed: 1, failed: 1, infra: 0 },
      medianMs: 90_000,
      settings: {
        needs: { labels: [text] },
        isolation: 'container',
        trust: 'trusted',
        knownIssues: ['https://issues.example/1', `javascript:${text}`],
        hostType: text,
      },
      steps: [{ name: text, limitMs: 60_000 }],
      waiting: [
        testBuild({ id: 'B00000000000000fd', state: 'queued', end: undefined, startedAt: undefined, endedAt: undefined, repo: text }),
      ],
    },
  ];
  shelf.found = { builds, commits: [commit], builders: [text], repos: [text] };
  const attempt = testAttempt({
    machine: text,
    end: { kind: 'failed', step: text, text },
    steps: [testStep({ name: text, role: 'run-tests' })],
  });
  farm.state.builds.set('B0123456789abcdef', testDetail({ builder: text, attemptList: [attempt] }));
  farm.audit.push({ id: 1, at: testNow - 60_000, who: text, what: 'build.retry refused', target: text, from: text });
}
