/** `gomote` as a process against a real farm, at home in a directory of its own. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ConfigInput } from '@croft/config/define-config';
import { MINUTE, systemClock } from '@croft/runtime/clock';
import { makeRepo, type TestRepo } from './testing-repo.ts';
import { startFarm, type TestFarm } from './testing.ts';

export const main = fileURLToPath(new URL('../../apps/gomote/src/main.ts', import.meta.url));

const usualPath = `${dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin`;

export interface Ran {
  readonly status: number | null;
  readonly bytes: Buffer;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly stdin?: string | Buffer;
  /** What is run instead of the sources: a Node, and a file. */
  readonly program?: readonly [string, string];
  onOutput?(text: string): void;
  /** Told of the process once it runs. */
  onStart?(child: ChildProcess): void;
}

export interface Place extends AsyncDisposable {
  readonly farm: TestFarm;
  readonly repo: TestRepo;
  readonly home: string;
  gomote(args: readonly string[], options?: RunOptions): Promise<Ran>;
  /** Succeeds, and gives what it printed. */
  must(args: readonly string[], options?: RunOptions): Promise<string>;
}

export async function openPlace(differs: Partial<ConfigInput> = {}, size = 1): Promise<Place> {
  await using stack = new AsyncDisposableStack();
  const repo = stack.use(await makeRepo({ '.ci/run': '#!/bin/sh\nexit 0\n', 'greeting.txt': 'hello\n' }));
  const home = await mkdtemp(join(tmpdir(), 'croft-gomote-'));
  stack.defer(() => rm(home, { recursive: true, force: true }));
  const config: Partial<ConfigInput> = {
    repos: [{ name: 'app', url: repo.dir, pollMs: '1h' }],
    builders: [
      { name: 'ci', repo: 'app', steps: 'detect', env: { FROM_BUILDER: 'a b"$c' } },
      { name: 'other', repo: 'app', steps: 'detect', env: { FROM_BUILDER: 'another' } },
    ],
    pools: [{ kind: 'local', size }],
    ...differs,
  };
  const farm = stack.use(await startFarm({ config, env: { NODE_TLS_REJECT_UNAUTHORIZED: undefined } }));
  const gomote: Place['gomote'] = (args, options = {}) => launch(args, { farm, home, ...options });
  const owned = stack.move();
  return {
    farm,
    repo,
    home,
    gomote,
    async must(args, options) {
      const { status, stdout, stderr } = await gomote(args, options);
      assert.equal(status, 0, `gomote ${args.join(' ')}: ${stderr}`);
      return stdout;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function launch(
  args: readonly string[],
  {
    farm,
    home,
    env,
    cwd,
    stdin,
    program: [node, file] = [process.execPath, main],
    onOutput,
    onStart,
  }: RunOptions & { farm: TestFarm; home: string },
): Promise<Ran> {
  const standing = { PATH: usualPath, HOME: home, CROFT_SERVER: farm.url };
  const child = spawn(node, [file, ...args], {
    cwd: cwd ?? home,
    env: { ...standing, ...env },
    signal: systemClock.deadline(5 * MINUTE),
  });
  onStart?.(child);
  const [out, err]: [Buffer[], Buffer[]] = [[], []];
  child.stdout.on('data', (piece: Buffer) => {
    out.push(piece);
    onOutput?.(Buffer.concat(out).toString());
  });
  child.stderr.on('data', (piece: Buffer) => void err.push(piece));
  child.stdin.on('error', () => {}).end(stdin);
  const [status] = (await once(child, 'close')) as [number | null];
  const bytes = Buffer.concat(out);
  return { status, bytes, stdout: bytes.toString(), stderr: Buffer.concat(err).toString() };
}
