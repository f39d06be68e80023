/**
 * What git ignores in a directory, by git's own rules and asked there (PUSH-4). What lies here is told by one list; for what lies on the machine
 * alone a process is asked that lives as long as the push: it takes a millisecond for each path of a large repository, so few are asked.
 */
import { execFile, spawn, type ChildProcessByStdio } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { promisify } from 'node:util';
import type { Cli } from '@croft/cli/program';
import { CroftError } from '@croft/runtime/errors';

/** Paths are below the directory, bytes as latin1, without a slash at their end. */
export interface Ignored extends AsyncDisposable {
  /** Of what lies here. */
  here(path: string): boolean;
  /** Of what lies on the machine. @throws CroftError `unavailable` when git does not say */
  elsewhere(path: string, isDirectory: boolean): Promise<boolean>;
}

const listBytes = 256 * 1024 ** 2;

/** Nothing is ignored in what is no working tree of git, or is ignored itself: whoever names it wants it. */
export async function openIgnored(root: string, env: Cli['env']): Promise<Ignored> {
  const git = gitIn(root, env);
  const isTop = existsSync(join(root, '.git')); // and so not ignored by a repository above
  const [ignoredItself, listed] = await Promise.all([
    isTop ? undefined : git(['check-ignore', '--quiet', '.']),
    git(['ls-files', '-z', '--others', '--ignored', '--exclude-standard', '--directory']), // fails outside of a working tree
  ]);
  if (ignoredItself !== undefined || listed === undefined) return nothingIgnored;
  const names = listed.split('\0').map((name) => name.replace(/\/$/, ''));
  const here = new Set(names.map(comparable));
  let asking: Asking | undefined;
  return {
    here: (path) => here.has(comparable(path)),
    elsewhere: async (path, isDirectory) => here.has(comparable(path)) || (asking ??= startAsking(root, env)).ask(path, isDirectory),
    [Symbol.asyncDispose]: async () => asking?.end(),
  };
}

const nothingIgnored: Ignored = { here: () => false, elsewhere: async () => false, async [Symbol.asyncDispose]() {} };

/** What a hook or an alias of git leaves in the environment would make it look elsewhere. */
export function gitEnvironment(env: Cli['env']): NodeJS.ProcessEnv {
  const kept = Object.entries(env).filter(([name]) => !/^GIT_(DIR|WORK_TREE|INDEX_FILE|PREFIX|COMMON_DIR)$/.test(name));
  return { ...Object.fromEntries(kept), LC_ALL: 'C' };
}

/** On a Mac the file system and git may write one name in two forms, composed and not. */
function comparable(path: string): string {
  return process.platform === 'darwin' ? Buffer.from(path, 'latin1').toString('utf8').normalize('NFC') : path;
}

/** Undefined when git fails. */
type Git = (args: readonly string[]) => Promise<string | undefined>;

function gitIn(root: string, env: Cli['env']): Git {
  return async (args) => {
    try {
      const options = { env: gitEnvironment(env), encoding: 'latin1', maxBuffer: listBytes } as const;
      return (await promisify(execFile)('git', ['-C', root, ...args], options)).stdout;
    } catch {
      return undefined;
    }
  };
}

interface Asking {
  ask(path: string, isDirectory: boolean): Promise<boolean>;
  end(): void;
}

function startAsking(root: string, env: Cli['env']): Asking {
  const child: ChildProcessByStdio<Writable, Readable, null> = spawn('git', ['-C', root, 'check-ignore', '--stdin', '-n', '-v', '-z'], {
    env: { ...gitEnvironment(env), GIT_FLUSH: '1' },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  child.on('error', () => {}); // told below: it says nothing
  child.stdin.on('error', () => {});
  const fields = fieldsOf(child.stdout);
  return {
    async ask(path, isDirectory) {
      child.stdin.write(Buffer.from(`${path}${isDirectory ? '/' : ''}\0`, 'latin1'));
      const answer: (string | undefined)[] = [];
      while (answer.length < 4) answer.push((await fields.next()).value ?? undefined);
      const [, , pattern, name] = answer;
      if (pattern === undefined || name === undefined)
        throw new CroftError('unavailable', `git in ${root} does not say whether it ignores ${JSON.stringify(path)}`, {
          hint: 'Nothing was changed. See what it says: git check-ignore -v PATH',
        });
      return pattern !== '' && !pattern.startsWith('!');
    },
    end() {
      child.stdin.end();
      child.kill();
    },
  };
}

async function* fieldsOf(stream: Readable): AsyncGenerator<string, undefined> {
  let rest = '';
  for await (const piece of stream as AsyncIterable<Buffer>) {
    const fields = (rest + piece.toString('latin1')).split('\0');
    rest = fields.pop() ?? '';
    yield* fields;
  }
  return undefined;
}
