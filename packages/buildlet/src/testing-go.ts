/** Go's own buildlet in a fresh directory, for tests, where `npm run interop` has built it before. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { systemClock } from '@croft/runtime/clock';
import { systemRandom } from '@croft/runtime/random';
import { freePort } from '@croft/runtime/testing';
import type { BuildletAddress } from './address.ts';
import { createGoClient } from './go-client.ts';

const built = fileURLToPath(new URL('../../../.croft/interop', import.meta.url));
const startWithinMs = 30_000;

/** The one that `CROFT_GO_BUILDLET` names, or one that was built. */
export async function goBuildletProgram(env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const found = await readdir(built).catch(() => []);
  const programs = [env['CROFT_GO_BUILDLET'] ?? '', ...found.map((name) => join(built, name, 'buildlet'))];
  return programs.find((path) => path !== '' && existsSync(path));
}

export interface TestGoBuildlet extends AsyncDisposable {
  readonly address: BuildletAddress;
  readonly workDir: string;
}

/** @param given what it sees besides */
export async function startGoBuildlet(program: string, given: NodeJS.ProcessEnv): Promise<TestGoBuildlet> {
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), 'croft-go-buildlet-'));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const workDir = join(dir, 'work');
  await mkdir(workDir);
  const port = await freePort();
  const password = systemRandom.hex(16);
  // Without `-halt=false` it would switch this machine off.
  const args = ['-halt=false', `-workdir=${workDir}`, `-listen=localhost:${port}`];
  const env = { ...given, AWS_EC2_METADATA_DISABLED: 'true', META_password: password };
  const child = spawn(program, args, { env, stdio: 'ignore' });
  stack.defer(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  const address = { host: '127.0.0.1', port, password };
  const deadline = systemClock.deadline(startWithinMs);
  await using client = createGoClient(address, { clock: systemClock });
  while (!(await isUp(client.status({ signal: deadline })))) await systemClock.sleep(50, { signal: deadline });
  const owned = stack.move();
  return { address, workDir, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

function isUp(status: Promise<unknown>): Promise<boolean> {
  return status.then(
    () => true,
    () => false,
  );
}
