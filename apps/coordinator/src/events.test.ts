import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { createMetrics, logMessages } from './events.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));

test('every log message is listed with its meaning, and nothing else is', () => {
  const rooms = '{apps/coordinator,packages/store,packages/fleet,packages/web}/src/**/*.ts';
  const files = globSync(rooms, { cwd: root }).filter((path) => !/\.test\.ts$|testing/.test(path));
  const found = files.flatMap((path) =>
    [...readFileSync(`${root}/${path}`, 'utf8').matchAll(/\blog\.(?:debug|info|warn|error)\(\s*'([^']+)'/g)].map(([, message]) => message),
  );
  assert.deepEqual(new Set(found), new Set(Object.keys(logMessages)));
});

test('metrics count what they are told, under labels of few values', async () => {
  const metrics = createMetrics();
  metrics.buildEnded('passed');
  metrics.attemptEnded('infra');
  metrics.logStored(1_000);
  metrics.configurationRead(0);
  metrics.configurationRead(3);
  metrics.databaseWrite(0.002);
  metrics.httpRequest({ method: 'GET', route: '/builds/:build', status: 404, seconds: 0.5 });
  metrics.ssh.login('refused', 'certificate');
  metrics.ssh.channel('sftp');
  metrics.ssh.limited('tries');
  metrics.ssh.unreached();
  metrics.ssh.observe(() => ({ strangers: 1, guests: 2, received: 3, sent: 4 }));
  metrics.observe(async () => ({ queue: { 'post-submit': 3 }, machines: { ready: 2 }, sessions: { active: 1 } }));
  const text = await metrics.text();
  for (const line of [
    'croft_builds_ended_total{end="passed"} 1',
    'croft_attempts_ended_total{end="infra"} 1',
    'croft_log_bytes_total 1000',
    'croft_config_reads_total{result="refused"} 1',
    'croft_config_mistakes 3',
    'croft_database_write_seconds_count 1',
    'croft_http_request_seconds_count{method="GET",route="/builds/:build",status="4xx"} 1',
    'croft_queue_builds{band="post-submit"} 3',
    'croft_queue_builds{band="release"} 0',
    'croft_machines{state="ready"} 2',
    'croft_ssh_logins_total{result="refused",method="certificate"} 1',
    'croft_ssh_channels_total{kind="sftp"} 1',
    'croft_ssh_limited_total{limit="tries"} 1',
    'croft_ssh_unreached_total 1',
    'croft_ssh_connections{of="guests"} 2',
    'croft_ssh_bytes_total{direction="sent"} 4',
  ]) {
    assert.ok(text.split('\n').includes(line), line);
  }
});
