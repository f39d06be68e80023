/** Acceptance 8 of gomote-ssh.md: a large tree comes back whole, and neither `gomote` nor the coordinator holds more for it than for a small one. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { openPlace, type Place } from './testing-gomote.ts';

const mib = 1024 ** 2;
const [small, large] = [16 * mib, 256 * mib];
/** What the collector of either may leave lying around. */
const slack = 96 * mib;
/** Has a program of Node tell at its end how much it had in memory at most. */
const tellPeak = `data:text/javascript,process.on('exit',()=>console.error('peak',process.resourceUsage().maxRSS*1024))`;

test(
  'gettar takes the same memory of gomote and of the coordinator, however much it is',
  { skip: process.platform !== 'linux' && 'Linux tells how much a process had' },
  async () => {
    await using place = await openPlace();
    await place.must(['create', 'ci']);
    const before = await fetchTree(place, small);
    const after = await fetchTree(place, large);
    const tell = JSON.stringify({ before, after });
    assert.ok(after.gomote - before.gomote < slack, tell);
    assert.ok(after.coordinator - before.coordinator < slack, tell);
  },
);

interface Peaks {
  readonly gomote: number;
  readonly coordinator: number;
}

/** Of random bytes, so that the archive is as large. */
async function fetchTree({ farm, home, gomote, must }: Place, size: number): Promise<Peaks> {
  await must(['run', '-system', 'local-ci-0', 'sh', '-c', `mkdir -p big && head -c ${size} /dev/urandom > big/file`]);
  const sum = await must(['run', '-system', 'local-ci-0', 'sh', '-c', 'sha256sum < big/file']);
  const { status, stderr } = await gomote(['gettar', '-dir', 'big', '-output', 'big.tar.gz', 'local-ci-0'], {
    env: { NODE_OPTIONS: `--import="${tellPeak}"` },
  });
  assert.equal(status, 0, stderr);
  const got = execFileSync('sh', ['-c', 'tar -xzOf "$0" file | sha256sum', join(home, 'big.tar.gz')], { encoding: 'utf8' });
  assert.equal(got, sum);
  const [, kib] = /^VmHWM:\s+(\d+) kB$/m.exec(await readFile(`/proc/${farm.pid}/status`, 'utf8')) ?? [];
  return { gomote: Number(/^peak (\d+)$/m.exec(stderr)?.[1]), coordinator: Number(kib) * 1024 };
}
