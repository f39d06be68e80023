import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Grid } from '@croft/protocol/api';
import { CroftError } from '@croft/runtime/errors';
import { testBuild, testCommit } from '../pages/testing-views.ts';
import { openTestApp } from './testing.ts';

const revision = (digit: string): string => digit.repeat(40);
const committedAt = Date.UTC(2009, 10, 10, 23, 0, 1, 999);

function grid(over: Partial<Grid> = {}): Grid {
  const cell = (id: string, state: Parameters<typeof testBuild>[0]): Grid['rows'][number]['cells'][number] => testBuild({ id, ...state });
  return {
    repo: 'net',
    repos: ['net'],
    branch: 'master',
    branches: ['master'],
    page: 0,
    older: false,
    builders: ['linux-amd64', 'plan9-arm', 'race', 'none'],
    rows: [
      {
        commit: testCommit({
          repo: 'net',
          revision: revision('a'),
          committedAt,
          authorName: 'Ee Yore',
          authorEmail: 'e@e.net',
          subject: 'net: a < b',
        }),
        cells: [
          cell('B00', { end: { kind: 'passed' } }),
          cell('B01', { end: { kind: 'failed', step: 's', text: 't' }, attempts: 2 }),
          cell('B02', { end: { kind: 'infra', cause: 'machine-lost', evidence: 'e' } }),
          null,
        ],
      },
      {
        commit: testCommit({ repo: 'net', revision: revision('b'), committedAt: committedAt - 1_000 }),
        cells: [
          cell('B03', { state: 'running', end: undefined }),
          cell('B04', { end: { kind: 'timed-out', step: 's', text: 't' } }),
          null,
          null,
        ],
      },
    ],
    ...over,
  };
}

test('JSON-1: results stand parallel to the builders, in the originals’ form to the byte', async () => {
  await using app = await openTestApp();
  app.farm.state.grid = grid();
  const response = await app.ask('/?mode=json');
  assert.equal(response.headers.get('content-type'), 'text/json; charset=utf-8');
  const text = await response.text();
  const expected = `{
\t"builders": [
\t\t"linux-amd64",
\t\t"plan9-arm",
\t\t"race",
\t\t"none"
\t],
\t"revisions": [
\t\t{
\t\t\t"repo": "net",
\t\t\t"revision": "${revision('a')}",
\t\t\t"date": "2009-11-10T23:00:01Z",
\t\t\t"branch": "master",
\t\t\t"author": "Ee Yore \\u003ce@e.net\\u003e",
\t\t\t"desc": "net: a \\u003c b",
\t\t\t"results": [
\t\t\t\t"ok",
\t\t\t\t"http://127.0.0.1:8080/builds/B01/attempts/2/log",
\t\t\t\t"",
\t\t\t\t""
\t\t\t]
\t\t},
`;
  assert.equal(text.slice(0, expected.length), expected);
  assert.deepEqual((JSON.parse(text) as { revisions: { results: string[] }[] }).revisions[1]?.results, [
    '',
    'http://127.0.0.1:8080/builds/B04/attempts/1/log',
    '',
    '',
  ]);
});

test('JSON-3: no commits are null', async () => {
  await using app = await openTestApp();
  app.farm.state.grid = grid({ rows: [] });
  assert.match(await (await app.ask('/?mode=json')).text(), /"revisions": null\n\}$/);
});

test('UI-8: each failure is a line of commit, builder and log', async () => {
  await using app = await openTestApp();
  app.farm.state.grid = grid();
  const response = await app.ask('/?mode=failures');
  assert.equal(response.headers.get('content-type'), 'text/plain; charset=utf-8');
  assert.equal(
    await response.text(),
    `${revision('a')} plan9-arm http://127.0.0.1:8080/builds/B01/attempts/2/log\n${revision('b')} plan9-arm http://127.0.0.1:8080/builds/B04/attempts/1/log\n`,
  );
});

describe('UI-1: parameters', () => {
  const wrong: [string, number, RegExp][] = [
    ['/?mode=foo', 400, /unknown mode "foo"/],
    ['/?mode=json&page=x', 400, /invalid page value "x"/],
    ['/?mode=json&page=-1', 400, /negative page/],
    ['/?mode=json&page=1e9', 400, /invalid page value/],
    ['/?mode=json&repo=none', 404, /no such repository/],
  ];
  for (const [address, status, message] of wrong) {
    test(`${address} is answered ${status}`, async () => {
      await using app = await openTestApp();
      app.farm.grid = async () => {
        throw new CroftError('not-found', 'no such repository');
      };
      const response = await app.ask(address);
      assert.equal(response.status, status);
      assert.match(((await response.json()) as { message: string }).message, message);
    });
  }

  test('page, branch and repository are passed on, 30 commits a page', async () => {
    await using app = await openTestApp();
    const asked: unknown[] = [];
    app.farm.grid = async (query) => {
      asked.push(query);
      return grid();
    };
    await app.ask('/?mode=json&page=2&branch=release&repo=net');
    assert.deepEqual(asked, [{ repo: 'net', branch: 'release', page: 2, pageSize: 30 }]);
  });

  test('mixed has the commits of all branches once, newest first, with all builders', async () => {
    await using app = await openTestApp();
    const shared = grid().rows[0];
    assert.ok(shared);
    const newer = { commit: testCommit({ revision: revision('c'), committedAt: committedAt + 5_000 }), cells: [testBuild({ id: 'B09' })] };
    app.farm.grid = async ({ branch }) =>
      branch === 'release'
        ? grid({ branch, builders: ['only-here'], rows: [newer, { ...shared, cells: [null] }] })
        : grid({ branches: ['master', 'release'] });
    const { builders, revisions } = (await (await app.ask('/?mode=json&branch=mixed')).json()) as {
      builders: string[];
      revisions: { revision: string; results: string[] }[];
    };
    assert.deepEqual(builders, ['linux-amd64', 'plan9-arm', 'race', 'none', 'only-here']);
    assert.deepEqual(
      revisions.map((row) => row.revision[0]),
      ['c', 'a', 'b'],
    );
    assert.deepEqual(revisions[0]?.results, ['', '', '', '', 'ok']);
  });
});

test('without a mode it is the page', async () => {
  await using app = await openTestApp();
  assert.match(await (await app.ask('/')).text(), /^<!doctype html>/i);
});
