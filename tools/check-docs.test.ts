import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { checkDocs } from './check-docs.ts';
import { parseMarkdown } from './markdown.ts';
import { withTree } from './testing.ts';

const base = {
  'package.json': JSON.stringify({ scripts: { start: 'node .' }, workspaces: ['packages/*'] }),
  'README.md': '# Croft\nSee [guide](docs/guide.md#first-steps).\n',
  'docs/guide.md': '# Guide\n## First steps\nBack to [the top](../README.md).\n',
};

function check(files: Record<string, string>): Promise<string[]> {
  return withTree({ ...base, ...files }, async (root) => {
    execFileSync('git', ['init', '-q', root]);
    return checkDocs(root);
  });
}

test('has nothing to say about pages that are true', async () => {
  const readme = [
    '# Croft',
    '[guide](docs/guide.md#first-steps) [web](https://example.org/x) ![p](<docs/guide.md> "title") [ref]',
    '[ref]: docs/guide.md',
    'Run `npm start`, look at `packages/a` and `packages/*/src` and `docs/decisions/NNNN-title.md`; `[no](link.md)` is code.',
    '```ts',
    'const a: number = 1;',
    '```',
    '```json',
    '{ "a": 1 }',
    '```',
  ].join('\n');
  assert.deepEqual(await check({ 'README.md': readme, 'packages/a/package.json': '{}', 'packages/a/README.md': '# a\n' }), []);
});

const bad: [string, Record<string, string>, RegExp][] = [
  [
    'a link to nothing',
    { 'docs/guide.md': '# Guide\n## First steps\n[x](gone.md)' },
    /^docs\/guide\.md:3: link to gone\.md: there is no docs\/gone\.md$/,
  ],
  ['a link out of the repository', { 'docs/guide.md': '## First steps\n[x](../../x.md)' }, /there is no \.\.\/x\.md/],
  ['a lost anchor', { 'docs/guide.md': '# Guide\n## Last steps' }, /^README\.md:2: .* docs\/guide\.md has no heading #first-steps$/],
  ['a page nobody links to', { 'docs/lonely.md': '# Lonely' }, /^docs\/lonely\.md: no link leads here/],
  ['a path that is gone', { 'docs/guide.md': '## First steps\nSee `tools/gone.ts`.' }, /names `tools\/gone\.ts`, which does not exist/],
  ['a script that is gone', { 'docs/guide.md': '## First steps\n```sh\nnpm run fly\n```' }, /names `npm run fly`/],
  ['code that does not parse', { 'docs/guide.md': '## First steps\n```ts\nconst = 1\n```' }, /guide\.md:2: this ts does not parse/],
  ['data that does not parse', { 'docs/guide.md': '## First steps\n```json\n{ a }\n```' }, /this json does not parse/],
  ['a room without a README', { 'packages/a/package.json': '{}' }, /^packages\/a\/README\.md: the room has no README$/],
  [
    'a long README',
    { 'packages/a/package.json': '{}', 'packages/a/README.md': 'x\n'.repeat(61) },
    /61 lines, a room's README has at most 60/,
  ],
  ['a path of one machine', { 'docs/guide.md': `## First steps\n${'/'}home/ann/croft` }, /guide\.md:2: holds an address .*home\/ann/],
  ['a registry', { '.npmrc': `registry=https://${'registry'}.example.org/npm` }, /^\.npmrc:1: holds an address/],
  [
    'a lock with addresses',
    { 'package-lock.json': `{\n"resolved": "${'https'}://example.org/a.tgz" }` },
    /^package-lock\.json:2: holds an address/,
  ],
];

for (const [what, files, expected] of bad) {
  test(`names ${what}`, async () => {
    const findings = await check(files);
    assert.equal(findings.length, 1, findings.join('\n'));
    assert.match(findings[0] ?? '', expected);
  });
}

test('makes anchors as GitHub does', () => {
  const { anchors } = parseMarkdown(
    '# `PUT /runs/ID`: start or attach\n## Steps\n## Steps\n## The [epoch](#x) & more\n<a id="here"></a>\n```\n# no heading\n```',
  );
  assert.deepEqual([...anchors], ['put-runsid-start-or-attach', 'steps', 'steps-1', 'the-epoch--more', 'here']);
});
