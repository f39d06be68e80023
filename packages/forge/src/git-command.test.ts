import { test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { MINUTE, systemClock } from '@croft/runtime/clock';
import { FakeClock } from '@croft/runtime/testing';
import { openGit } from './git-command.ts';
import { ObjectPool } from './object-pool.ts';
import { createPlace, createRepo } from './testing.ts';

function fakeGit(dir: string, script: string): string {
  const bin = path.join(dir, 'bin');
  fs.mkdirSync(bin);
  fs.writeFileSync(path.join(bin, 'git'), `#!/bin/sh\nPATH=/usr/bin:/bin\n${script}\n`, { mode: 0o755 });
  return bin;
}

function processes(): number {
  return process.getActiveResourcesInfo().filter((name) => name === 'ProcessWrap').length;
}

test("nothing of the caller's environment reaches git", async () => {
  await using place = createPlace();
  const gitHome = path.join(place.dir, 'home');
  const git = openGit({ gitHome, clock: systemClock, path: fakeGit(place.dir, 'env') });
  const names = (await git.run({ args: ['anything'] }))
    .toString()
    .split('\n')
    .map((line) => line.split('=')[0] ?? '');
  const ours =
    /^(PATH|HOME|LC_ALL|GIT_(CONFIG_GLOBAL|CONFIG_NOSYSTEM|DEFAULT_REF_FORMAT|CEILING_DIRECTORIES|NO_REPLACE_OBJECTS|OPTIONAL_LOCKS|SSH_COMMAND|TERMINAL_PROMPT)|PWD|OLDPWD|SHLVL|_|)$/;
  assert.deepEqual(
    names.filter((name) => !ours.test(name)),
    [],
  );
});

test('hooks and settings of others do not run, and git reads ours', async () => {
  await using place = createPlace();
  const gitHome = path.join(place.dir, 'ho"me');
  const git = openGit({ gitHome, clock: systemClock });
  const get = async (name: string): Promise<string> => (await git.run({ args: ['config', '--get', name] })).toString().trim();
  assert.deepEqual(fs.readdirSync(await get('core.hooksPath')), []);
  assert.deepEqual([await get('protocol.ext.allow'), await get('protocol.allow'), await get('safe.directory')], ['never', 'never', '*']);
  const marker = path.join(place.dir, 'ran');
  const { code, stderr } = await git.call({ args: ['ls-remote', `ext::touch ${marker}`] });
  assert.ok(code !== 0 && /not allowed/.test(stderr) && !fs.existsSync(marker));
});

test('a call that takes too long is ended with everything it started', async () => {
  await using place = createPlace();
  const clock = new FakeClock();
  const pids = path.join(place.dir, 'pids');
  const bin = fakeGit(place.dir, `sleep 1000 & echo $$ $! > '${pids}.new'; mv '${pids}.new' '${pids}'; wait`);
  const git = openGit({ gitHome: path.join(place.dir, 'home'), clock, path: bin });
  const call = git.call({ args: ['fetch'], limitMs: 5000 });
  const ended = assert.rejects(call, { code: 'timeout', message: 'git fetch: took too long and was ended' });
  await until(() => fs.existsSync(pids));
  await clock.advance(5000);
  await ended;
  for (const pid of fs.readFileSync(pids, 'utf8').trim().split(' ')) await until(() => gone(Number(pid)));
});

test('too much output ends the call', async () => {
  await using place = createPlace();
  const git = openGit({ gitHome: path.join(place.dir, 'home'), clock: systemClock, path: fakeGit(place.dir, 'yes') });
  await assert.rejects(git.call({ args: ['log'], maxBytes: 100_000 }), {
    code: 'exhausted',
    message: 'git log: more than 100000 bytes of output',
  });
});

test('a machine without git is told to install it', async () => {
  await using place = createPlace();
  const git = openGit({ gitHome: path.join(place.dir, 'home'), clock: systemClock, path: place.dir });
  await assert.rejects(git.call({ args: ['log'] }), { code: 'unavailable', hint: /Install git/ });
  await using objects = new ObjectPool(git, place.dir, systemClock);
  await assert.rejects(objects.read('HEAD', {}, 100), { code: 'unavailable' });
});

test('a failure tells the end of what git said, without credentials', async () => {
  await using place = createPlace();
  const git = openGit({
    gitHome: path.join(place.dir, 'home'),
    clock: systemClock,
    path: fakeGit(place.dir, 'echo "fatal: https://me:secret@host/x is bad" >&2; exit 3'),
  });
  assert.equal((await git.call({ args: ['x'] })).code, 3);
  await assert.rejects(git.run({ args: ['--git-dir=x', 'log'] }), { code: 'internal', message: 'git log: fatal: https://host/x is bad' });
});

test('a warm process is used again and ends when idle', async () => {
  await using place = createPlace();
  const repo = createRepo(path.join(place.dir, 'source'));
  repo.write('a', 'content');
  repo.commit('first');
  const clock = new FakeClock();
  const git = openGit({ gitHome: path.join(place.dir, 'home'), clock });
  await using objects = new ObjectPool(git, path.join(repo.dir, '.git'), clock);
  const read = async (): Promise<string | undefined> => (await objects.read('HEAD:a', {}, 100))?.content.toString();
  await until(() => processes() === 0);
  for (let turn = 0; turn < 5; turn += 1) assert.equal(await read(), 'content');
  assert.equal(processes(), 1);
  assert.equal(await objects.read('HEAD:none', {}, 100), undefined);
  await clock.advance(MINUTE);
  await until(() => processes() === 0);
  assert.equal(await read(), 'content');
});

function gone(pid: number): boolean {
  try {
    return /^\d+ \(.*\) Z/.test(fs.readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return true;
  }
}

/** Waits for something outside this process, with a deadline. */
async function until(condition: () => boolean): Promise<void> {
  const deadline = systemClock.deadline(10_000);
  while (!condition()) await systemClock.sleep(5, { signal: deadline });
}
