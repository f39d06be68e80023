import { test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { buildThat, endedBuild, foundBuilds, getBuild, listBuilds, logOf, onlyBuild } from './testing-builds.ts';
import { environmentOf, findProcess, processesOf } from './testing-processes.ts';
import { makeRepo } from './testing-repo.ts';
import { makeStage, type Stage } from './testing-stage.ts';
import { startFarm, type TestFarm } from './testing.ts';

const stillAlive = (pid: number): boolean => findProcess(pid) !== undefined;

/** The pid under which the run works, once it says so. */
function commandOf(farm: TestFarm, stage: Stage, run: string): Promise<number> {
  return farm.waitFor(`run ${run}`, () => stage.markedPid(run));
}

test('a commit is found, and built on a separate process; its log is what its command wrote, byte for byte', async () => {
  await using stage = await makeStage();
  await using repo = await makeRepo({
    '.ci/run': {
      executable: stage.script(`
        for n in $(seq 1 200); do say "line $n"; done
        printf 'to stderr \\033[31mred\\033[0m\\n' | tee -a "$STAGE/$RUN.said" >&2
        printf '\\377\\376 not UTF-8, no newline, \\000 NUL' | tee -a "$STAGE/$RUN.said"`),
    },
  });
  await using farm = await startFarm({ repo: repo.dir });
  const { id } = await onlyBuild(farm);
  const build = await endedBuild(farm, id);
  assert.deepEqual(build.end, { kind: 'passed' });
  assert.equal(build.revision, repo.head);
  assert.equal(build.attempts, 1);
  assert.deepEqual(await logOf(farm, id), await stage.said(`${id}.1.ci`));

  const second = await repo.commit({ 'README.md': 'more\n' }, 'second');
  await farm.api('POST', `/api/v1/repos/${build.repo}/notify`);
  const builds = await listBuilds(farm);
  assert.deepEqual(builds.map(({ revision }) => revision).toSorted(), [build.revision, second].toSorted());
  await Promise.all(builds.map((one) => endedBuild(farm, one.id)));
});

test('a command is a child of its buildlet, in a group of its own, and no process of the coordinator is near it', async () => {
  await using stage = await makeStage();
  await using repo = await makeRepo(stage.script('wait_at end'));
  await using farm = await startFarm({ repo: repo.dir });
  const { id } = await onlyBuild(farm);
  const command = findProcess(await commandOf(farm, stage, `${id}.1.ci`));
  assert.ok(command);
  const coordinator = findProcess(farm.pid);
  const buildlet = findProcess(command.parent);
  assert.ok(coordinator && buildlet);
  assert.match(buildlet.command, /programs\/buildlet\.mjs/);
  assert.equal(command.group, command.pid, 'the command leads its process group');
  assert.ok([command.pid, buildlet.pid].includes(command.session), 'its session is its own or the buildlet’s, never the coordinator’s');
  assert.equal(buildlet.session, buildlet.pid, 'the buildlet leads its session: what ends the coordinator does not reach it');
  assert.notEqual(buildlet.pid, coordinator.pid);
  const inCoordinatorsGroup = processesOf(farm.dataDir).filter(({ session, group }) => [session, group].includes(coordinator.pid));
  for (const { pid, command: text } of inCoordinatorsGroup) {
    if (pid !== coordinator.pid) assert.match(text, /^git /, 'the coordinator itself runs nothing but git');
  }
  await stage.open('end');
  assert.deepEqual((await endedBuild(farm, id)).end, { kind: 'passed' });
});

test('a command sees an allow-listed environment and the exact tree as its directory', async () => {
  await using stage = await makeStage();
  await using repo = await makeRepo({
    '.ci/run': { executable: stage.script('ls > /dev/null; wait_at end') },
    'a file': 'text\n',
    'bin/tool': { executable: '#!/bin/sh\n' },
    link: { link: 'bin/tool' },
    'raw-\u00fc': Uint8Array.of(0, 255, 10),
  });
  const secrets = {
    CROFT_PROBE: 'secret',
    META_password: 'secret',
    npm_config_probe: 'secret',
    NODE_PROBE: 'secret',
    NODE_EXTRA_CA_CERTS: undefined,
    GOOGLE_APPLICATION_CREDENTIALS: '/secret.json',
    AWS_SECRET_ACCESS_KEY: 'secret',
    SSH_AUTH_SOCK: '/secret.sock',
    PATH: `/anywhere/node_modules/.bin:/elsewhere/node-gyp-bin:${process.env['PATH']}`,
  };
  await using farm = await startFarm({ repo: repo.dir, env: secrets });
  const { id, repo: name } = await onlyBuild(farm);
  const pid = await commandOf(farm, stage, `${id}.1.ci`);
  const { PATH, CROFT_COOKIE, WORKDIR, TMPDIR, PWD, CI, ...others } = environmentOf(pid);
  const cwd = readlinkSync(`/proc/${pid}/cwd`);
  const foreign = Object.keys(others).filter(
    (key) => !/^(HOME|USER|LOGNAME|SHELL|LANG|LC_[A-Z]+|TZ|TERM|SSL_CERT_(FILE|DIR)|(https?|no)_proxy|(HTTPS?|NO)_PROXY)$/.test(key),
  );
  assert.deepEqual(foreign, []);
  assert.doesNotMatch(JSON.stringify([others, PATH]), /secret|node_modules|node-gyp-bin/);
  assert.match(CROFT_COOKIE ?? '', new RegExp(`^[0-9a-f]{32}:${id}\\.1\\.ci$`));
  assert.equal(WORKDIR, join(farm.dataDir, 'machines/local-1/work'));
  assert.equal(TMPDIR, join(WORKDIR, 'tmp'));
  assert.equal(CI, 'true');
  assert.equal(cwd, join(WORKDIR, name));
  assert.equal(PWD, cwd);
  assert.equal(environmentOf(farm.pid)['META_password'], 'secret', 'the probes were there to be leaked');
  assert.deepEqual(treeAt(cwd), (await repo.git('ls-tree', '-r', '-z', 'HEAD')).split('\0').filter(Boolean).map(treeLine).toSorted());
  await stage.open('end');
  await endedBuild(farm, id);
});

/** `MODE PATH`, as git would say it. */
function treeAt(root: string): string[] {
  const files = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => !entry.isDirectory());
  const modeOf = (path: string, link: boolean): string => (link ? '120000' : statSync(path).mode & 0o100 ? '100755' : '100644');
  return files
    .map((entry) => ({ entry, path: join(entry.parentPath, entry.name) }))
    .map(({ entry, path }) => `${modeOf(path, entry.isSymbolicLink())} ${path.slice(root.length + 1)}`)
    .toSorted();
}

function treeLine(line: string): string {
  const [, mode, path] = /^(\d+) \w+ \w+\t(.*)$/s.exec(line) ?? [];
  return `${mode} ${path}`;
}

test('a build that waits is cancelled at once, one that runs with its whole tree; the log is kept and both can be retried', async () => {
  await using stage = await makeStage();
  await using repo = await makeRepo(stage.script('say begun; linger; wait_at end; say done'));
  await repo.commit({ a: '1\n' }, 'second');
  await using farm = await startFarm({ repo: repo.dir });
  await foundBuilds(farm, 2);
  const running = await farm.waitFor('one that runs', async () => (await listBuilds(farm)).find(({ state }) => state === 'running'));
  const queued = (await listBuilds(farm)).find(({ id }) => id !== running.id);
  assert.ok(queued);
  assert.equal(queued.state, 'queued');
  assert.match((await getBuild(farm, queued.id)).wait?.text ?? '', /next; 1 of 1 .* busy/);

  await farm.api('POST', `/api/v1/builds/${queued.id}/cancel`, { why: 'superseded' });
  const ended = await getBuild(farm, queued.id);
  assert.equal(ended.state, 'ended');
  assert.deepEqual(ended.end, { kind: 'cancelled', by: 'local', why: 'superseded' });
  assert.equal(ended.attempts, 0);

  const run = `${running.id}.1.ci`;
  const tree = [await commandOf(farm, stage, run), await farm.waitFor('what lingers', () => stage.markedPid(run, 'lingers'))];
  await farm.api('POST', `/api/v1/builds/${running.id}/cancel`, { why: 'it is stuck' });
  const cancelled = await endedBuild(farm, running.id);
  assert.deepEqual(cancelled.end, { kind: 'cancelled', by: 'local', why: 'it is stuck' });
  assert.deepEqual(tree.filter(stillAlive), [], 'its tree is dead when its end is told');
  assert.equal(cancelled.attempts, 1);
  assert.equal((await logOf(farm, running.id)).toString(), 'begun\n');
  await assert.rejects(farm.api('POST', `/api/v1/builds/${running.id}/cancel`, { why: 'again' }), /refused with 409/);

  await stage.open('end');
  for (const [id, attempt] of [
    [running.id, 2],
    [queued.id, 1],
  ] as const) {
    await farm.api('POST', `/api/v1/builds/${id}/retry`);
    const { end, attempts } = await buildThat(farm, id, { what: 'passes', is: (build) => build.end?.kind === 'passed' });
    assert.deepEqual({ end, attempts }, { end: { kind: 'passed' }, attempts: attempt });
    assert.equal((await logOf(farm, id, attempt)).toString(), 'begun\ndone\n');
    const lingering = await stage.markedPid(`${id}.${attempt}.ci`, 'lingers');
    assert.ok(lingering !== undefined && !stillAlive(lingering), 'what a command leaves behind dies with it');
  }
  assert.equal((await logOf(farm, running.id, 1)).toString(), 'begun\n', 'the first attempt keeps its log');
});

test('the command line follows the same build from beginning to end, and its exit status is the verdict', async () => {
  await using stage = await makeStage();
  await using repo = await makeRepo(stage.script('say begun; wait_at end; say done; exit 3'));
  await using farm = await startFarm({ repo: repo.dir });
  const { id } = await onlyBuild(farm);
  await commandOf(farm, stage, `${id}.1.ci`);
  const following = croft(farm, 'log', '-f', '--exit-status', id);
  await buildThat(farm, id, { what: 'has a log', is: ({ attemptList }) => (attemptList[0]?.log.bytes ?? 0) > 0 });
  await stage.open('end');
  assert.deepEqual(await following, { exit: 1, stdout: 'begun\ndone\n' });
  assert.deepEqual((await getBuild(farm, id)).end, { kind: 'failed', step: 'ci', text: 'exit status 3' });
  const { exit, stdout } = await croft(farm, 'builds', '--json');
  assert.equal(exit, 0);
  assert.ok(stdout.includes(id));
});

async function croft(farm: TestFarm, ...args: string[]): Promise<{ exit: number; stdout: string }> {
  const program = join(import.meta.dirname, '../../apps/croft/src/main.ts');
  const child = spawn(process.execPath, [program, ...args, '--server', farm.url], { stdio: ['ignore', 'pipe', 'ignore'] });
  const [stdout, [exit]] = await Promise.all([text(child.stdout), once(child, 'exit') as Promise<[number]>]);
  return { exit, stdout };
}
