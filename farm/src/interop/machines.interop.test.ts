/** Whole builds on Go's buildlets, which dial a farm of ours: with the development key on loopback, with a real one as they do at Go's. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { mkdtemp, mkdtempDisposable, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { promisify } from 'node:util';
import type { ConfigInput } from '@croft/config/define-config';
import { MINUTE, SECOND, systemClock } from '@croft/runtime/clock';
import { endedBuild, foundBuilds, logOf, onlyBuild } from '../testing-builds.ts';
import { makeRepo, type TestRepo } from '../testing-repo.ts';
import { until } from '../testing-waiting.ts';
import { endOfFarm, startFarm } from '../testing.ts';
import { reverseFlags, startBuildlet, type BuildletProcess } from './buildlets.ts';
import { goPrograms, type GoPrograms } from './go-programs.ts';
import { openOwnNetwork, withoutOwnNetwork } from './own-network.ts';

const programs = await goPrograms({ env: process.env, progress: (text) => process.stderr.write(`${text}\n`) });
const of = 'missing' in programs ? 'Go' : programs.version;
const run = promisify(execFile);
const hostType = 'host-linux-test';
const masterKey = 'the master key of this test';
const goCoordinator = 'farmer.golang.org';
const waitMs = MINUTE;

let dir: string;
let files: { certFile: string; keyFile: string };
/** Once for all: one certificate for loopback and for the name that Go's buildlets know their coordinator by. */
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'croft-interop-'));
  files = { certFile: join(dir, 'cert.pem'), keyFile: join(dir, 'key.pem') };
  const named = ['-subj', '/CN=croft', '-addext', `subjectAltName=DNS:${goCoordinator},IP:127.0.0.1`];
  const wanted = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  await run('openssl', [...wanted, ...named, '-keyout', files.keyFile, '-out', files.certFile]);
  setDefaultCACertificates([...getCACertificates('default'), await readFile(files.certFile, 'utf8')]);
});
after(() => rm(dir, { recursive: true }));

function config(repo: TestRepo, more: Partial<ConfigInput>): Partial<ConfigInput> {
  return {
    repos: [{ name: 'tool', url: repo.dir, pollMs: 'never' }],
    hostTypes: [{ name: hostType }],
    builders: [{ name: 'linux-amd64', repo: 'tool', hostType, steps: 'detect' }],
    pools: [{ kind: 'reverse', name: 'rack', hostType, expect: 1 }],
    tls: files,
    compat: { goBuilderKeys: true },
    ...more,
  };
}

function dialling(given: GoPrograms, coordinator: string): Promise<BuildletProcess> {
  const flags = reverseFlags('Go', { coordinator, hostType, hostname: 'rack-1' });
  return startBuildlet('Go', { programs: given, env: process.env, reverse: true, flags });
}

/** As its unit or its container does: started again whenever it has ended. */
async function supervised(given: GoPrograms, coordinator: string): Promise<{ readonly starts: () => number } & AsyncDisposable> {
  const buildlet = await dialling(given, coordinator);
  let starts = 1;
  let over = false;
  const watch = (async () => {
    for (;;) {
      await buildlet.ended;
      if (over) return;
      starts += 1;
      await buildlet.restart();
      await systemClock.sleep(SECOND);
    }
  })();
  return {
    starts: () => starts,
    async [Symbol.asyncDispose]() {
      over = true;
      await buildlet[Symbol.asyncDispose]();
      await watch;
    },
  };
}

test(`a build on a buildlet of ${of} passes, one that fails fails, and their logs have every byte`, async (t) => {
  if ('missing' in programs) return t.skip(programs.missing);
  const script = '#!/bin/sh\nprintf "out\\n"; printf "err \\377\\n" >&2; cat .ci/status; exit $(cat .ci/status)\n';
  await using repo = await makeRepo({ '.ci/run': { executable: script }, '.ci/status': '0\n' });
  const older = repo.head;
  const newer = await repo.commit({ '.ci/status': '3\n' });
  await using farm = await startFarm({ config: config(repo, {}) });
  await using _buildlet = await dialling(programs, new URL(farm.url).host);
  for (const { id, revision } of await foundBuilds(farm, 2)) {
    const { end, attempts } = await endedBuild(farm, id, { deadlineMs: waitMs });
    const status = revision === newer ? 3 : 0;
    assert.ok([older, newer].includes(revision));
    assert.equal(end?.kind, status === 0 ? 'passed' : 'failed', JSON.stringify(end));
    assert.equal(attempts, 1);
    assert.deepEqual(await logOf(farm, id), Buffer.from(`out\nerr \xff\n${status}\n`, 'latin1'));
  }
});

test('kill -9 of the coordinator: the command died with its connection, the attempt ends as infrastructure, and the second passes', async (t) => {
  if ('missing' in programs) return t.skip(programs.missing);
  await using scratch = await mkdtempDisposable(join(tmpdir(), 'croft-interop-'));
  const mark = join(scratch.path, 'pid');
  const script = `#!/bin/sh\nif test -e ${mark}; then echo second; exit 0; fi\necho first; echo $$ > ${mark}; exec sleep 600\n`;
  await using repo = await makeRepo(script);
  await using farm = await startFarm({ config: config(repo, {}) });
  await using buildlet = await supervised(programs, new URL(farm.url).host);
  const { id } = await onlyBuild(farm);
  const pid = await farm.waitFor('the command', async () => Number(await readFile(mark, 'utf8')), { deadlineMs: waitMs });
  try {
    await farm.kill9();
    await farm.restart();
    const build = await endedBuild(farm, id, { deadlineMs: 2 * MINUTE });
    assert.deepEqual(build.end, { kind: 'passed' });
    const [first, second] = build.attemptList.toSorted((a, b) => a.number - b.number);
    assert.equal(first?.end?.kind === 'infra' && first.end.cause, 'machine-lost', JSON.stringify(first));
    assert.equal(second?.end?.kind, 'passed');
    assert.equal((await logOf(farm, id, 2)).toString(), 'second\n');
    assert.ok(buildlet.starts() > 1, 'Go’s buildlet ends with its line');
  } finally {
    killQuietly(pid);
  }
});

test('the development key opens the door on loopback, and no other: an open address takes none, and a real key puts it out', async (t) => {
  if ('missing' in programs) return t.skip(programs.missing);
  await using repo = await makeRepo('#!/bin/sh\n');
  const open = await endOfFarm({ config: config(repo, { host: '0.0.0.0' }) });
  assert.match(open.output, /the development key of the originals is public, and this address is not loopback/);

  const masterKeyFile = join(dir, 'other.key');
  await writeFile(masterKeyFile, `${masterKey}\n`);
  await using keyed = await startFarm({ config: config(repo, { compat: { goBuilderKeys: true, masterKeyFile } }) });
  await using refused = await dialling(programs, new URL(keyed.url).host);
  assert.equal(await refused.ended, 1);
  assert.match(refused.output(), /412 Precondition Failed:\s+invalid build key/);

  await using farm = await startFarm({ config: config(repo, {}) });
  await using taken = await dialling(programs, new URL(farm.url).host);
  const tell = (): string => taken.output() + farm.output();
  await until(() => farm.output().includes('machine dialled in'), { what: 'the machine to be taken', limitMs: waitMs, tell });
});

test(`as its documentation says: a buildlet of ${of} with a key in its home dials ${goCoordinator}, checks who answers, and builds`, async (t) => {
  if ('missing' in programs) return t.skip(programs.missing);
  const noNetwork = await withoutOwnNetwork();
  if (noNetwork !== undefined) return t.skip(noNetwork);
  const masterKeyFile = join(dir, 'master.key');
  await writeFile(masterKeyFile, `${masterKey}\n`);
  await using repo = await makeRepo('#!/bin/sh\necho built with a real key\n');
  await using farm = await startFarm({ config: config(repo, { compat: { goBuilderKeys: true, masterKeyFile } }) });
  await using network = await openOwnNetwork({ '127.0.0.2': goCoordinator }, { '127.0.0.2:443': Number(new URL(farm.url).port) });
  const key = createHmac('md5', masterKey).update(hostType).digest('hex');
  const flags = reverseFlags('Go', { coordinator: goCoordinator, hostType, hostname: 'rack-1' });
  const more = { SSL_CERT_FILE: files.certFile };
  const home = { [`.gobuildkey-${hostType}`]: `${key}\n` };
  await using buildlet = await startBuildlet('Go', { programs, env: process.env, reverse: true, flags, more, home, network });
  const build = await endedBuild(farm, (await onlyBuild(farm)).id, { deadlineMs: waitMs });
  assert.deepEqual(build.end, { kind: 'passed' }, buildlet.output());
  assert.equal((await logOf(farm, build.id)).toString(), 'built with a real key\n');
  for (const secret of [key, masterKey]) assert.ok(!(farm.output() + buildlet.output()).includes(secret), 'a key is in a log');
});

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it is gone
  }
}
