import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { SessionGround } from '../sessions/sessions.ts';
import { endpointOf } from './endpoints.ts';
import { mergeEnv } from './merge-env.ts';
import { execOn, runOf, runOn } from './start-command.ts';

const id = 'S00000000000000a1';
const ground: SessionGround = { workDir: '/work', dir: 'app', env: { CI: 'true', PATH_TO: '/a b' }, path: ['/work/bin'], speaks: 'croft' };

describe('what of a machine is offered', () => {
  test('files, commands, runs and raw connections are; ending, debugging and testing it are not', () => {
    for (const [method, path] of [
      ['GET', '/ls'],
      ['GET', '/tgz'],
      ['PUT', '/write'],
      ['POST', '/writetgz'],
      ['POST', '/exec'],
      ['PUT', '/runs/r-1'],
      ['GET', '/runs/r-1/output'],
      ['PUT', '/runs/r-1/stdin'],
      ['POST', '/connect'],
    ] as const)
      assert.ok(endpointOf(method, path), `${method} ${path}`);
    for (const [method, path] of [
      ['POST', '/halt'],
      ['GET', '/debug/goroutines'],
      ['POST', '/selftest'],
      ['POST', '/ports'],
      ['DELETE', '/write'],
      ['GET', '/exec'],
      ['GET', '/'],
      ['GET', '//ls'],
      ['GET', '/ls/'],
      ['GET', '/%6cs'],
      ['GET', '/runs/../halt'],
      ['POST', '/runs/r/halt'],
      ['POST', '/runs//cancel'],
      ['GET', '/runs/a%2f..%2fhalt'],
      ['constructor', ''],
    ] as const)
      assert.equal(endpointOf(method, path), undefined, `${method} ${path}`);
  });

  test('no path whatever leads to another one', () => {
    const piece = fc.constantFrom(
      '/',
      '..',
      '.',
      'halt',
      'runs',
      'ls',
      '%2f',
      '%2e',
      'debug',
      '?',
      '#',
      '\\',
      ';',
      'r',
      'output',
      'toString',
    );
    const parts = fc.array(piece, { maxLength: 8 }).map((all) => `/${all.join('')}`);
    fc.assert(
      fc.property(fc.constantFrom('GET', 'POST', 'PUT', 'DELETE'), parts, (method, path) => {
        if (!endpointOf(method, path)) return;
        assert.match(path, /^\/(ls|runs(\/[A-Za-z0-9][A-Za-z0-9._-]*(\/output)?)?)$/);
        assert.equal(new URL(path, 'http://machine').pathname, path, 'and it stays there when it is normalised');
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('names of runs', () => {
  test('get the session in front once, and those of others are refused', () => {
    assert.equal(runOf(id, 'r-0a'), `${id}.r-0a`);
    assert.equal(runOf(id, `${id}.r-0a`), `${id}.r-0a`);
    for (const foreign of ['S00000000000000a2.r-0a', 'B00000000000000a2.1.test'])
      assert.throws(() => runOf(id, foreign), { code: 'forbidden' });
  });
});

describe('RUN-1: variables', () => {
  test('the last of each name counts and keeps its place; case matters but on Windows', () => {
    assert.deepEqual(mergeEnv([['k1=v1', 'K1=V2', 'k1=v3']]), ['K1=V2', 'k1=v3']);
    assert.deepEqual(mergeEnv([['k1=v1', 'k2=v2', 'K1=v3']], { onWindows: true }), ['k2=v2', 'K1=v3']);
    assert.deepEqual(mergeEnv([['A=1', 'B=2'], ['A=3'], ['C=']]), ['B=2', 'A=3', 'C=']);
    assert.deepEqual(mergeEnv([['=C:=C:\\x', 'A', 'A=1', '=C:=C:\\y']], { onWindows: true }), ['A', 'A=1', '=C:=C:\\y']);
  });

  test('no name is left twice, and none is lost', () => {
    const entry = fc.tuple(fc.constantFrom('a', 'A', 'b', 'B'), fc.string()).map(([name, value]) => `${name}=${value}`);
    fc.assert(
      fc.property(fc.array(entry), fc.boolean(), (entries, onWindows) => {
        const key = (text: string): string => (onWindows ? text[0]!.toLowerCase() : text[0]!);
        const merged = mergeEnv([entries], { onWindows });
        assert.deepEqual(new Set(merged.map(key)), new Set(entries.map(key)));
        assert.equal(new Set(merged.map(key)).size, merged.length);
        for (const one of merged)
          assert.equal(
            one,
            entries.findLast((other) => key(other) === key(one)),
          );
      }),
    );
  });
});

describe('what a command starts with', () => {
  test('a run has the session’s variables beneath its own, its directories, and begins in its directory', () => {
    const started = JSON.parse(runOn({ ground }, '{"argv":["env"],"env":{"CI":"no","X":"ü"}}')) as object;
    assert.deepEqual(started, { path: ['/work/bin'], dir: 'app', elseDir: '.', argv: ['env'], env: { PATH_TO: '/a b', CI: 'no', X: 'ü' } });
    const own = JSON.parse(runOn({ ground }, '{"argv":["env"],"dir":".","path":[]}')) as object;
    assert.deepEqual(own, { path: [], argv: ['env'], dir: '.', env: ground.env });
    const groundAs = (name: string): typeof ground | undefined => (name === 'other' ? { ...ground, env: { FROM: name } } : undefined);
    const other = JSON.parse(runOn({ ground, groundAs }, '{"argv":["env"],"dir":".","builderEnv":"other"}')) as object;
    assert.deepEqual(other, { path: ground.path, argv: ['env'], dir: '.', env: { FROM: 'other' } });
    assert.throws(() => runOn({ ground, groundAs }, '{"builderEnv":"none"}'), { code: 'not-found' });
    const windows = JSON.parse(runOn({ ground: { ...ground, workDir: 'C:\\work' } }, '{"env":{"ci":"no"}}')) as { env: object };
    assert.deepEqual(windows.env, { PATH_TO: '/a b', ci: 'no' });
    for (const wrong of ['', '[]', '3', 'null', '{"env":[]}', '{"env":null}', '{'])
      assert.throws(() => runOn({ ground }, wrong), { code: 'invalid' });
  });

  test('a form of /exec keeps its bytes; the session’s variables come before, its directories where none are asked for', () => {
    assert.equal(
      String(execOn(ground, Buffer.from('cmd=%2Fbin%2Fenv&env=CI%3Dno'))),
      'env=CI%3Dtrue&env=PATH_TO%3D%2Fa+b&path=%24PATH&path=%2Fwork%2Fbin&cmd=%2Fbin%2Fenv&env=CI%3Dno',
    );
    assert.match(String(execOn(ground, Buffer.from('cmd=x&path=%24EMPTY'))), /^env=CI%3Dtrue&env=PATH_TO%3D%2Fa\+b&cmd=x&path=%24EMPTY$/);
    const bytes = Buffer.from([0x63, 0xff, 0x00]);
    assert.ok(execOn({ ...ground, env: {}, path: [] }, bytes).equals(bytes));
  });
});
