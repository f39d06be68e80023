import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { buildId, type RepoRevision } from '@croft/domain/job';
import { parseBuilderName, parseMachineId, type BuildId } from '@croft/domain/names';
import type { Log } from '@croft/runtime/log';
import { getBuild, insertBuild } from '@croft/store/builds';
import { upsertMachine } from '@croft/store/machines';
import { go, masterKey, net, openDashboardStage, revision, unit, type DashboardStage } from '../originals/testing-stage.ts';

interface Envelope {
  readonly Response: unknown;
  readonly Error: string;
}

interface Post {
  readonly builder?: string;
  readonly key?: string;
  readonly version?: string;
  readonly body?: Record<string, unknown>;
}

const failure = { Builder: 'plan9', PackagePath: '', Hash: revision(2), GoHash: '', OK: false, Log: 'no luck\n', RunTime: 90e9 };
const sha1 = (text: string): string => createHash('sha1').update(text).digest('hex');
const logUrl = (text: string): string => `http://127.0.0.1:8080/log/${sha1(text)}`;

async function post({ app, keys }: DashboardStage, path: string, given: Post = {}): Promise<Envelope> {
  const { builder = 'plan9', key = keys.keyOf(builder), version = '1', body } = given;
  const query = new URLSearchParams({ version, builder, key });
  const sent = body ? { body: JSON.stringify(body), headers: { 'content-type': 'text/json' } } : {};
  const response = await app.ask(`${path}${path.includes('?') ? '&' : '?'}${query.toString()}`, { method: 'POST', ...sent });
  assert.equal(response.status, 200, await response.clone().text());
  return (await response.json()) as Envelope;
}

const ok = { Response: null, Error: '' };

function idOf(builder: string, ...revisions: RepoRevision[]): BuildId {
  return buildId({ builder: parseBuilderName(builder), revisions, trigger: { kind: 'branch', ref: 'main' } });
}

describe('RES-1: a result from outside', () => {
  test('is in the grid under its log’s SHA-1, and the log has exactly its bytes', async () => {
    await using stage = await openDashboardStage();
    const Log = 'ünlucky\nexit status 1\n';
    assert.deepEqual(await post(stage, '/result', { body: { ...failure, Log } }), ok);
    assert.equal((await stage.results())[revision(2)]?.['plan9'], logUrl(Log));
    assert.equal((await stage.results())[revision(2)]?.['unit'], '');
    const response = await stage.app.ask(new URL(logUrl(Log)).pathname);
    assert.equal(await response.text(), Log);
  });

  test('that passed is ok', async () => {
    await using stage = await openDashboardStage();
    await post(stage, '/result', { body: { ...failure, OK: true, Log: '' } });
    assert.equal((await stage.results())[revision(2)]?.['plan9'], 'ok');
  });

  test('is one more attempt of the build that would run here, with permanent ids', async () => {
    await using stage = await openDashboardStage();
    await post(stage, '/result', { body: failure });
    await post(stage, '/result', { body: { ...failure, OK: true, Log: '' } });
    const build = idOf('plan9', { repo: go, revision: revision(2) });
    const attempts = await stage.attempts(build);
    assert.deepEqual(
      attempts.map(({ number, machine, state }) => [number, machine, state.kind === 'ended' && state.end.kind]),
      [
        [1, 'outside', 'failed'],
        [2, 'outside', 'passed'],
      ],
    );
    const [first] = attempts;
    assert.equal(first?.state.kind === 'ended' && first.state.endedAt - first.state.startedAt, 90_000);
    assert.equal((await stage.results())[revision(2)]?.['plan9'], 'ok');
  });

  test('told twice is told once, and its log stored once', async () => {
    await using stage = await openDashboardStage();
    for (let n = 0; n < 2; n += 1) assert.deepEqual(await post(stage, '/result', { body: failure }), ok);
    assert.equal((await stage.attempts(idOf('plan9', { repo: go, revision: revision(2) }))).length, 1);
  });

  test('of another repository counts for the two revisions together', async () => {
    await using stage = await openDashboardStage();
    for (const GoHash of [revision(1), revision(3)])
      await post(stage, '/result', {
        body: { ...failure, PackagePath: 'golang.org/x/net', Hash: revision(2), GoHash, OK: GoHash === revision(3) },
      });
    const results = await stage.results('&repo=golang.org/x/net');
    assert.equal(results[`${revision(2)} ${revision(1)}`]?.['plan9'], logUrl(failure.Log));
    assert.equal(results[`${revision(2)} ${revision(3)}`]?.['plan9'], 'ok');
    assert.deepEqual(Object.keys(results), [revision(3), `${revision(2)} ${revision(3)}`, `${revision(2)} ${revision(1)}`, revision(1)]);
  });

  test('is refused while the farm runs that build itself', async () => {
    await using stage = await openDashboardStage();
    const [machine, revisions, trigger] = [
      parseMachineId('m1'),
      [{ repo: go, revision: revision(2) }],
      { kind: 'branch', ref: 'main' } as const,
    ];
    const id = buildId({ builder: unit, revisions, trigger });
    await stage.db.write(async (sql) => {
      await upsertMachine(sql, { id: machine, pool: 'p', hostType: 'h', labels: [], address: null, at: 1 });
      await insertBuild(sql, { id, builder: unit, revisions, trigger, band: 'post-submit', needs: { labels: [] }, createdAt: 1 });
    });
    assert.ok(await stage.records.assign(id, machine));
    const { Error: error } = await post(stage, '/result', { builder: 'unit', body: { ...failure, Builder: 'unit' } });
    assert.match(error, /this farm runs build B\w+ itself at present/);
    assert.deepEqual(await stage.app.ask('/status/post-submit-active.json').then((response) => response.json()), [
      { builder: 'unit', commit: revision(2), statusURL: `http://127.0.0.1:8080/builds/${id}` },
    ]);
  });

  const wrong: [string, Post, RegExp][] = [
    ['another version', { version: '2' }, /^rejecting POST from builder; need version 1 instead of 2$/],
    ['no version', { version: '' }, /^rejecting POST from builder; need version 1 instead of 0$/],
    ['another builder’s name in the body', { builder: 'linux' }, /the key of builder "linux" cannot file a result of "plan9"/],
    ['a key of another builder', { key: 'd41d8cd98f00b204e9800998ecf8427e' }, /^invalid key for builder "plan9"$/],
    ['a short hash', { body: { ...failure, Hash: '6fecb7' } }, /not a full lower-case git object id/],
    [
      'an unknown repository',
      { body: { ...failure, PackagePath: 'golang.org/x/tools' } },
      /no repository is called "golang.org\/x\/tools"/,
    ],
    [
      'a builder with a revoked key',
      { builder: 'revoked', body: { ...failure, Builder: 'revoked' } },
      /^invalid key for builder "revoked"$/,
    ],
  ];
  for (const [name, given, message] of wrong) {
    test(`with ${name} is refused with the reason, and nothing is stored`, async () => {
      await using stage = await openDashboardStage();
      const { Error: error } = await post(stage, '/result', { body: failure, ...given });
      assert.match(error, message);
      assert.equal(await stage.db.read((sql) => getBuild(sql, idOf('plan9', { repo: go, revision: revision(2) }))), undefined);
    });
  }

  test('the master key may file for everybody, also where the builder’s own was revoked', async () => {
    await using stage = await openDashboardStage();
    const body = { ...failure, Builder: 'revoked' };
    assert.deepEqual(await post(stage, '/result', { builder: 'other', key: masterKey, body }), ok);
    assert.equal((await stage.results())[revision(2)]?.['revoked'], logUrl(failure.Log));
  });
});

describe('clearing results', () => {
  test('makes the cell empty and queues the build again; a missing one is a success', async () => {
    await using stage = await openDashboardStage();
    await post(stage, '/result', { body: failure });
    assert.deepEqual(await post(stage, `/clear-results?hash=${revision(1)},${revision(2)}`), { Response: { cleared: 1 }, Error: '' });
    assert.equal((await stage.results())[revision(2)]?.['plan9'] ?? '', '');
    const build = await stage.db.read((sql) => getBuild(sql, idOf('plan9', { repo: go, revision: revision(2) })));
    assert.equal(build?.state.kind, 'queued');
    assert.deepEqual(await post(stage, '/result', { body: { ...failure, OK: true } }), ok);
    assert.equal((await stage.results())[revision(2)]?.['plan9'], 'ok');
  });

  test('without a hash clears the builder’s failures of the newest page, and no more', async () => {
    await using stage = await openDashboardStage();
    for (const n of [1, 2, 3]) await post(stage, '/result', { body: { ...failure, Hash: revision(n), OK: n === 2 } });
    await post(stage, '/result', { builder: 'linux', body: { ...failure, Builder: 'linux' } });
    assert.deepEqual(await post(stage, '/clear-results?hash='), { Response: { cleared: 2 }, Error: '' });
    const results = await stage.results();
    assert.equal(results[revision(2)]?.['plan9'], 'ok');
    assert.equal(results[revision(2)]?.['linux'], logUrl(failure.Log));
  });

  test('works for other repositories too', async () => {
    await using stage = await openDashboardStage();
    await post(stage, '/result', { body: { ...failure, PackagePath: net, GoHash: revision(3) } });
    assert.deepEqual(await post(stage, `/clear-results?packagePath=net&hash=${revision(2)}`), { Response: { cleared: 1 }, Error: '' });
  });

  test('needs a builder', async () => {
    await using stage = await openDashboardStage();
    assert.equal((await post(stage, '/clear-results?hash=', { builder: '', key: masterKey })).Error, 'must specify a builder');
  });
});

describe('keys', () => {
  test('are in no log, no audit entry, no answer and no file', async () => {
    const lines: string[] = [];
    const note = (message: string, fields?: unknown): void => void lines.push(message + JSON.stringify(fields));
    const log: Log = { debug: note, info: note, warn: note, error: note, with: () => log };
    await using stage = await openDashboardStage({ log });
    const secret = '0123456789abcdef0123456789abcdef';
    const right = stage.keys.keyOf('plan9');
    const answers = [
      await post(stage, '/result', { key: secret, body: failure }),
      await post(stage, '/result', { key: right, body: failure }),
      await post(stage, '/clear-results?hash=nonsense', { key: right }),
      await post(stage, '/commit', { key: right, version: '3' }),
    ];
    lines.push(JSON.stringify(answers), JSON.stringify(await stage.app.audited()));
    for (const file of ['croft.db', 'croft.db-wal']) lines.push((await readFile(join(stage.dir, file))).toString('latin1'));
    assert.ok(lines.some((line) => line.startsWith('change refused')));
    for (const line of lines) for (const key of [secret, right, masterKey]) assert.equal(line.includes(key), false, line.slice(0, 200));
  });

  test('are not accepted unless the operator says so', async () => {
    await using stage = await openDashboardStage({ keys: false });
    assert.match((await post(stage, '/result', { body: failure })).Error, /builder keys are not accepted by this farm/);
    assert.equal((await stage.app.ask('/key?builder=plan9')).status, 404);
  });

  test('a form carries out for its key alone, and without a key needs a page of ours', async () => {
    await using stage = await openDashboardStage();
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const send = (query: string): Promise<Response> =>
      stage.app.ask(`/clear-results?builder=plan9&hash=${query}`, { method: 'POST', headers });
    assert.match(((await (await send('&key=wrong')).json()) as Envelope).Error, /^invalid key/);
    assert.equal((await send('')).status, 403);
    const foreign = await stage.app.ask('/clear-results?builder=plan9&hash=&key=x', {
      method: 'POST',
      headers: { ...headers, origin: 'http://evil.example' },
    });
    assert.equal(foreign.status, 403);
  });

  test('without one, who is known here may do what his role allows', async () => {
    await using stage = await openDashboardStage();
    const send = async (path: string, headers: Record<string, string>): Promise<number> =>
      (await stage.app.ask(path, { method: 'POST', headers: { ...headers, 'content-type': 'text/json' }, body: JSON.stringify(failure) }))
        .status;
    const [developer, operator] = [await stage.app.as('developer'), await stage.app.as('operator')];
    assert.equal(await send('/result?version=1&builder=plan9', developer), 403);
    assert.equal(await send('/result?version=1&builder=plan9', operator), 200);
    assert.equal(await send(`/clear-results?builder=plan9&hash=${revision(2)}`, developer), 200);
    assert.equal(await send(`/clear-results?builder=plan9&hash=${revision(2)}`, await stage.app.as('viewer')), 403);
  });

  test('are told to the admin alone', async () => {
    await using stage = await openDashboardStage();
    assert.equal(await (await stage.app.ask('/key?builder=plan9')).text(), stage.keys.keyOf('plan9'));
    assert.equal((await stage.app.ask('/key?builder=plan9', { headers: await stage.app.as('operator') })).status, 403);
    // A key counts for every repository.
    assert.equal((await stage.app.ask('/key?builder=plan9', { headers: await stage.app.as('admin', ['go']) })).status, 403);
  });

  test('too many wrong ones are not even looked at', async () => {
    await using stage = await openDashboardStage();
    for (let n = 0; n < 10; n += 1) await post(stage, '/result', { key: `wrong ${n}` });
    assert.match((await post(stage, '/result', { key: 'wrong' })).Error, /too many failed/);
    assert.deepEqual(await post(stage, '/result', { body: failure }), ok);
  });
});

describe('D17: commits, packages and marks', () => {
  test('a known commit is told with its number; an unknown one in the words that watchers wait for', async () => {
    await using stage = await openDashboardStage();
    const ask = async (hash: string): Promise<Envelope> =>
      (await (await stage.app.ask(`/commit?packagePath=&hash=${hash}`)).json()) as Envelope;
    const { Response: commit } = (await ask(revision(2))) as { Response: Record<string, unknown> };
    assert.deepEqual(
      [commit['Hash'], commit['ParentHash'], commit['Num'], commit['User'], commit['Desc'], commit['Time'], commit['Branch']],
      [revision(2), revision(1), 2, 'Ee Yore <e@example.org>', 'change 2', '2017-07-14T02:40:02Z', 'main'],
    );
    assert.deepEqual(await ask(revision(9)), { Response: null, Error: 'Commit not found' });
  });

  test('a watcher’s commit is there at once, and the repository is looked at', async () => {
    await using stage = await openDashboardStage();
    const body = {
      PackagePath: '',
      Hash: revision(4),
      ParentHash: revision(3),
      User: 'Ann <a@example.org>',
      Desc: 'four\n\nmore',
      Time: '2017-07-14T05:00:00+02:00',
      Branch: 'main',
      NeedsBenchmarking: false,
    };
    const send = (over: object = {}, more: Post = {}): Promise<Envelope> =>
      post(stage, '/commit', { builder: '', key: masterKey, version: '3', body: { ...body, ...over }, ...more });
    assert.deepEqual(await send(), ok);
    assert.deepEqual(await send(), ok);
    assert.deepEqual(Object.keys(await stage.results()), [4, 3, 2, 1].map(revision));
    assert.equal(stage.looked[0], 'go');
    // So much of a name is looked through and no more: with many blanks that takes the square of their number.
    const name = { Hash: revision(7), ParentHash: revision(4), User: `Ann${' '.repeat(600)}<a@example.org>` };
    assert.deepEqual(await send(name), ok);
    assert.equal((await stage.app.ask(`/commit?packagePath=&hash=${revision(7)}`).then((answer) => answer.text())).includes('@'), false);
    assert.equal((await send({ Hash: revision(6), ParentHash: revision(5) })).Error, 'parent commit not found');
    assert.match((await send({}, { version: '2' })).Error, /need version 3 instead of 2/);
    assert.match((await send({ NeedsBenchmarking: undefined })).Error, /NeedsBenchmarking/);
    assert.match((await send({}, { builder: 'plan9', key: stage.keys.keyOf('plan9') })).Error, /needs the master key/);
  });

  test('D17-4: what is to be built next is the newest commit that the builder has not told of', async () => {
    await using stage = await openDashboardStage();
    const todo = async (query: string): Promise<string> => {
      const { Response: next, Error: error } = (await (await stage.app.ask(`/todo?builder=plan9&${query}`)).json()) as {
        Response: { Kind: string; Data: { Hash: string; Num: number; PackagePath: string } } | null;
        Error: string;
      };
      return next ? `${next.Kind} ${next.Data.PackagePath} ${next.Data.Num}` : error;
    };
    const builder = parseBuilderName('plan9');
    const told = (...revisions: RepoRevision[]): Promise<unknown> =>
      stage.farm.dashboard.report({ builder, revisions, passed: true, log: '', runMs: 1 });
    assert.equal(await todo('kind=build-go-commit'), 'build-go-commit  3');
    await told({ repo: go, revision: revision(3) });
    assert.equal(await todo('kind=benchmark-go-commit&kind=build-go-commit'), 'build-go-commit  2');
    const beside = { repo: go, revision: revision(1) };
    const ofNet = `kind=build-package&packagePath=golang.org/x/net&goHash=${revision(1)}`;
    assert.equal(await todo(ofNet), 'build-package net 3');
    await told({ repo: net, revision: revision(3) }, beside);
    assert.equal(await todo(ofNet), 'build-package net 2');
    assert.equal(await todo(ofNet.replace(revision(1), revision(2))), 'build-package net 3');
    for (const n of [1, 2]) await told({ repo: go, revision: revision(n) });
    assert.equal(await todo('kind=build-go-commit'), '');
    assert.equal(await todo('kind=build-go-commit&packagePath=nothing'), 'no repository is called "nothing"; there are: net, go');
  });

  test('packages are the repositories beside the main one, or those of a kind', async () => {
    await using stage = await openDashboardStage();
    const paths = async (query: string): Promise<string[]> =>
      ((await (await stage.app.ask(`/packages${query}`)).json()) as { Response: { Path: string }[] }).Response.map(({ Path }) => Path);
    assert.deepEqual(await Promise.all(['', '?kind=subrepo', '?kind=external', '?kind=go'].map(paths)), [['net'], ['net'], [], ['']]);
  });

  test('a mark that somebody builds is among what is active', async () => {
    await using stage = await openDashboardStage();
    assert.deepEqual(await post(stage, `/building?hash=${revision(3)}&gohash=&url=https://other.example/log`), {
      Response: { key: `building|${revision(3)}||plan9` },
      Error: '',
    });
    const active = await stage.app.ask('/status/post-submit-active.json');
    assert.deepEqual(await active.json(), [{ builder: 'plan9', commit: revision(3), statusURL: 'https://other.example/log' }]);
  });
});
