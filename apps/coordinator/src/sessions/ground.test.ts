import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseRepoName } from '@croft/domain/names';
import { anyBuilder } from '@croft/domain/testing';
import { mergeVariables, sessionGround } from './ground.ts';

const place = { workDir: '/var/lib/croft/work', speaks: 'croft' } as const;

test('ENV-4: CI, the builder’s variables, then those of its shell, in which $WORKDIR is the work directory', () => {
  const shell = { env: { GOPATH: '$WORKDIR/gopath', LEVEL: 'shell', COST: '$& $1 $HOME' }, path: ['app/bin'], secrets: false };
  const ground = sessionGround(anyBuilder({ env: { LEVEL: 'builder', CC: 'gcc' }, shell }), place);
  assert.deepEqual(ground, {
    ...place,
    dir: 'app',
    env: { CI: 'true', CC: 'gcc', GOPATH: '/var/lib/croft/work/gopath', LEVEL: 'shell', COST: '$& $1 $HOME' },
    path: ['/var/lib/croft/work/app/bin'],
  });
});

test('a shell begins where the builder says, else in its first repository, else in the work directory', () => {
  const repos = [parseRepoName('compiler'), parseRepoName('app')];
  assert.equal(sessionGround(anyBuilder({ repos, shell: { env: {}, path: [], secrets: false, dir: 'app/src' } }), place).dir, 'app/src');
  assert.equal(sessionGround(anyBuilder({ repos }), place).dir, 'compiler');
  assert.deepEqual(sessionGround(undefined, place), { ...place, dir: '.', env: { CI: 'true' }, path: [] });
});

test('secrets come last, where the builder gives them to sessions', () => {
  assert.deepEqual(sessionGround(anyBuilder({ env: { TOKEN: 'none' } }), place, { variables: { TOKEN: 's3cret' } }).env, {
    CI: 'true',
    TOKEN: 's3cret',
  });
});

test('paths of a Windows machine are written as there', () => {
  const builder = anyBuilder({ shell: { env: { G: '$WORKDIR' }, path: ['go/bin'], secrets: false } });
  const { env, path } = sessionGround(builder, { workDir: 'C:\\workdir', speaks: 'go' });
  assert.deepEqual([env['G'], path], ['C:\\workdir', ['C:\\workdir\\go\\bin']]);
});

test('RUN-1: the vectors of the specification', () => {
  const shown = (env: Record<string, string>): string =>
    Object.entries(env)
      .flatMap(([name, value]) => `${name}=${value}`)
      .join(' ');
  assert.equal(
    shown(
      mergeVariables(
        [
          ['k1', 'v1'],
          ['K1', 'V2'],
          ['k1', 'v3'],
        ],
        false,
      ),
    ),
    'K1=V2 k1=v3',
  );
  assert.equal(
    shown(
      mergeVariables(
        [
          ['k1', 'v1'],
          ['k2', 'v2'],
          ['K1', 'v3'],
        ],
        true,
      ),
    ),
    'k2=v2 K1=v3',
  );
});

test('of every name the last value counts, and no other name is there', () => {
  const variable = fc.tuple(fc.stringMatching(/^[A-Za-c_]{1,2}$/), fc.string());
  fc.assert(
    fc.property(fc.array(variable), (variables) => {
      const merged = mergeVariables(variables, false);
      assert.deepEqual(new Map(Object.entries(merged)), new Map(variables));
    }),
  );
});
