import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { systemClock } from '@croft/runtime/clock';
import { isRunning, killProcess, markProcess, startTimeOf } from './processes.ts';

test('a process is found again while it runs, and only that very process is killed', async () => {
  const child = spawn('sleep', ['600'], { stdio: 'ignore' });
  const exited = once(child, 'exit');
  const mark = await markProcess(child.pid ?? 0);
  assert.equal(await isRunning(mark), true);
  await killProcess({ ...mark, startTime: 'another' });
  await killProcess({ ...mark, startTime: '' });
  assert.equal(await isRunning(mark), true);
  await killProcess(mark);
  assert.deepEqual(await exited, [null, 'SIGKILL']);
  assert.equal(await isRunning(mark), false);
});

test('what nobody has collected yet does not run any more', async () => {
  const parent = spawn('sh', ['-c', 'sleep 600 & echo $!; exec sleep 600'], { stdio: ['ignore', 'pipe', 'ignore'] });
  const pid = Number(String((await once(parent.stdout, 'data'))[0]));
  const mark = await markProcess(pid);
  assert.equal(await isRunning(mark), true);
  process.kill(pid, 'SIGKILL');
  const deadline = systemClock.deadline(10_000);
  while (await isRunning(mark)) await systemClock.sleep(5, { signal: deadline });
  parent.kill('SIGKILL');
});

test('every system tells when a process started, always the same, and nothing about one that is gone', async () => {
  for (const platform of ['linux', 'darwin'] as const) {
    const started = await startTimeOf(process.pid, platform);
    assert.match(started ?? '', /[0-9]/);
    assert.equal(await startTimeOf(process.pid, platform), started);
    assert.equal(await startTimeOf(2 ** 22 + 1, platform), undefined);
  }
});
