import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseRepoName, parseRevision } from '@croft/domain/names';
import { CroftError } from '@croft/runtime/errors';
import type { ResultPage, ResultRow } from '../originals/read-results.ts';
import { openTestApp } from './testing.ts';

const revision = (digit: string): ResultRow['revision'] => parseRevision(digit.repeat(40));
const log = (digit: string): string => `/log/${digit.repeat(40)}`;
const committedAt = Date.UTC(2009, 10, 10, 23, 0, 1, 999);
const author = { authorName: 'Ee Yore', authorEmail: 'e@e.net', subject: 'net: a < b' };

function page(over: Partial<ResultPage> = {}): ResultPage {
  const row = { repo: parseRepoName('net'), branch: 'master', committedAt, ...author };
  return {
    builders: ['linux-amd64', 'plan9-arm', 'race', 'none'],
    rows: [
      { ...row, revision: revision('a'), results: ['ok', log('1'), '', ''] },
      { ...row, revision: revision('b'), goRevision: revision('c'), results: ['', log('2'), '', ''] },
    ],
    ...over,
  };
}

test('JSON-1: results stand parallel to the builders, in the originals’ form to the byte', async () => {
  await using app = await openTestApp();
  app.farm.dashboard.page = page();
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
\t\t\t\t"http://127.0.0.1:8080${log('1')}",
\t\t\t\t"",
\t\t\t\t""
\t\t\t]
\t\t},
\t\t{
\t\t\t"repo": "net",
\t\t\t"revision": "${revision('b')}",
\t\t\t"goRevision": "${revision('c')}",
`;
  assert.equal(text.slice(0, expected.length), expected);
});

test('JSON-3: no commits are null', async () => {
  await using app = await openTestApp();
  app.farm.dashboard.page = page({ rows: [] });
  assert.match(await (await app.ask('/?mode=json')).text(), /"revisions": null\n\}$/);
});

test('UI-8: each failure is a line of commit, builder and the log under its hash', async () => {
  await using app = await openTestApp();
  app.farm.dashboard.page = page();
  const response = await app.ask('/?mode=failures');
  assert.equal(response.headers.get('content-type'), 'text/plain; charset=utf-8');
  const lines = [
    `${revision('a')} plan9-arm http://127.0.0.1:8080${log('1')}`,
    `${revision('b')} plan9-arm http://127.0.0.1:8080${log('2')}`,
  ];
  assert.equal(await response.text(), `${lines.join('\n')}\n`);
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
      app.farm.dashboard.results = async () => {
        throw new CroftError('not-found', 'no such repository');
      };
      const response = await app.ask(address);
      assert.equal(response.status, status);
      assert.match(((await response.json()) as { message: string }).message, message);
    });
  }

  test('page, branch and repository are passed on', async () => {
    await using app = await openTestApp();
    await app.ask('/?mode=json&page=2&branch=release&repo=net');
    await app.ask('/?mode=json');
    assert.deepEqual(app.farm.dashboard.asked, [
      { repo: 'net', branch: 'release', page: 2 },
      { repo: undefined, branch: undefined, page: 0 },
    ]);
  });
});

test('without a mode it is the page', async () => {
  await using app = await openTestApp();
  assert.match(await (await app.ask('/')).text(), /^<!doctype html>/i);
});

test('UI-1: the page is asked for with GET or HEAD', async () => {
  await using app = await openTestApp();
  for (const method of ['POST', 'PUT']) {
    const response = await app.ask('/', { method });
    assert.equal(response.status, 400);
    assert.match(await response.text(), /unsupported method/);
  }
});
