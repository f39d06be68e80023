import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { systemClock } from '@croft/runtime/clock';
import { unpackTarGz } from '@croft/streams/tar-unpack';
import { createPlace, createRepo, type Place } from './testing.ts';
import { openWorkingTree, type WorkingTree } from './working-tree.ts';

function open(place: Place, dir: string, userHome = place.dir): Promise<WorkingTree> {
  return openWorkingTree({ dir, gitHome: path.join(place.dir, 'git-home'), userHome, clock: systemClock }, {});
}

test('what is tracked or would be is there as it lies on the disk, and what is ignored is not', async () => {
  await using place = createPlace();
  const repo = createRepo(path.join(place.dir, 'repo'));
  repo.write('.gitignore', 'ignored\n');
  repo.write('kept', 'old\n');
  repo.write('gone', 'x\n');
  repo.commit('one');
  repo.write('kept', 'new\n');
  fs.rmSync(path.join(repo.dir, 'gone'));
  repo.write('dir/added', 'a\n', 0o755);
  repo.write('ignored', 'i\n');
  repo.write('mine.swp', 's\n');
  repo.write(Buffer.from([0x6f, 0xff]), 'odd\n');
  fs.symlinkSync('kept', path.join(repo.dir, 'link'));
  fs.mkdirSync(path.join(place.dir, '.config/git'), { recursive: true });
  fs.writeFileSync(path.join(place.dir, '.config/git/ignore'), '*.swp\n');
  const tree = await open(place, path.join(repo.dir, 'dir'));
  assert.equal(tree.branch, 'main');
  assert.deepEqual((await tree.files({})).map(({ mode, path: name }) => `${mode} ${name.toString('latin1')}`).toSorted(), [
    '100644 .gitignore',
    '100644 kept',
    '100644 o\u00ff',
    '100755 dir/added',
    '120000 link',
  ]);
  const to = path.join(place.dir, 'out');
  fs.mkdirSync(to);
  await unpackTarGz(tree.sourceTar({}, { submodules: false, gzipLevel: 0 }), to, { now: systemClock.now() });
  assert.equal(fs.readFileSync(path.join(to, 'link'), 'utf8'), 'new\n');
  assert.equal(fs.statSync(path.join(to, 'dir/added')).mode & 0o777, 0o755);
  assert.deepEqual(fs.readdirSync(to, 'latin1').toSorted(), ['.gitignore', 'dir', 'kept', 'link', 'o\u00ff']);
});

test('submodules take part where asked for', async () => {
  await using place = createPlace();
  const inner = createRepo(path.join(place.dir, 'inner'));
  inner.write('file', 'in\n');
  inner.commit('inner');
  const repo = createRepo(path.join(place.dir, 'repo'));
  repo.git('-c', 'protocol.file.allow=always', 'submodule', '--quiet', 'add', inner.dir, 'sub');
  const tree = await open(place, repo.dir);
  for (const submodules of [false, true]) {
    const to = path.join(place.dir, `out-${submodules}`);
    fs.mkdirSync(to);
    await unpackTarGz(tree.sourceTar({}, { submodules }), to, { now: systemClock.now() });
    assert.deepEqual(fs.readdirSync(path.join(to, 'sub')), submodules ? ['file'] : []);
  }
});

test('a directory that is in no working tree says what to do', async () => {
  await using place = createPlace();
  fs.mkdirSync(path.join(place.dir, 'plain'));
  await assert.rejects(open(place, path.join(place.dir, 'plain')), { code: 'not-found', hint: /git init/ });
});
