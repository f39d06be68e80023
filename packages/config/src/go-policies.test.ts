import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { decide } from '@croft/domain/policy';
import { readConfigFile } from './read-config.ts';

const { builders, policies } = await readConfigFile(fileURLToPath(new URL('../fixtures/go-2022.yaml', import.meta.url)));

interface Place {
  readonly repo: string;
  readonly branch?: string;
  readonly go?: string;
}

/** As the originals ask: of the main repository its own branch is the toolchain's. */
function built(
  builder: string,
  { repo, branch = 'master', go = repo === 'go' ? branch : 'master' }: Place,
  trigger: 'branch' | 'change',
): boolean {
  const lists = builders.some(({ name, repos }) => name === builder && (repos as readonly string[]).includes(repo));
  return lists && decide(policies, { builder, repo, branch, toolchainBranch: go, trigger }).allowed;
}

const all = (place: Place, trigger: 'branch' | 'change'): string[] =>
  builders
    .map(({ name }) => name as string)
    .filter((name) => built(name, place, trigger))
    .toSorted();
const both = (builder: string, place: Place): string =>
  [built(builder, place, 'branch') ? 'post-submit' : '', built(builder, place, 'change') ? 'try' : '']
    .filter((kind) => kind !== '')
    .join(' and ') || 'none';
const runsTest = (builder: string, name: string, trigger: 'branch' | 'change'): boolean =>
  decide(policies, { builder, repo: 'go', branch: 'master', toolchainBranch: 'master', trigger, test: name }).allowed;

test('POL-6: the builders that a proposed change is tried on', () => {
  assert.deepEqual(all({ repo: 'mobile' }, 'change'), ['android-amd64-emu', 'linux-amd64-androidemu']);
  assert.deepEqual(all({ repo: 'exp' }, 'change'), ['linux-amd64', 'linux-amd64-race', 'windows-386-2008', 'windows-amd64-2016']);
  const onMaster = all({ repo: 'go' }, 'change');
  assert.deepEqual([onMaster.filter((name) => !name.startsWith('misc-compile-')).length, onMaster.length], [14, 28]);
  const onRelease = all({ repo: 'go', branch: 'release-branch.go1.18' }, 'change');
  assert.deepEqual(
    onRelease.filter((name) => !onMaster.includes(name)),
    ['linux-386-longtest', 'linux-amd64-longtest', 'windows-amd64-longtest'],
  );
  assert.ok(onMaster.every((name) => onRelease.includes(name)));
});

test('POL-6: what is built after it was submitted', () => {
  assert.deepEqual(all({ repo: 'vulndb' }, 'branch'), ['linux-amd64', 'linux-amd64-longtest']);
  assert.equal(both('linux-amd64', { repo: 'net', branch: 'release-branch.go1.10' }), 'none');
  assert.equal(both('linux-amd64', { repo: 'net', go: 'release-branch.go1.10' }), 'none');
  assert.equal(both('linux-386-softfloat', { repo: 'crypto' }), 'post-submit');
  assert.equal(both('linux-amd64-ssacheck', { repo: 'net' }), 'none');
  assert.equal(both('android-amd64-emu', { repo: 'mobile' }), 'post-submit and try');
  assert.equal(both('android-amd64-emu', { repo: 'net' }), 'post-submit');
  assert.equal(both('android-amd64-emu', { repo: 'website' }), 'none');
});

test('POL-6: single tests of a build', () => {
  assert.deepEqual([runsTest('freebsd-amd64-12_3', 'api', 'branch'), runsTest('freebsd-amd64-12_3', 'api', 'change')], [true, false]);
  assert.equal(runsTest('linux-amd64', 'api', 'change'), true);
  assert.equal(runsTest('linux-amd64-race', 'reboot', 'change'), false);
  for (const name of ['test:foo', 'reboot', 'api', 'codewalk']) assert.equal(runsTest('darwin-amd64-10_14', name, 'branch'), false, name);
});

test('POL-7: cross compilers are for changes only', () => {
  assert.equal(both('misc-compile-plan9', { repo: 'go' }), 'try');
  assert.equal(both('misc-compile-plan9', { repo: 'net' }), 'none');
});
