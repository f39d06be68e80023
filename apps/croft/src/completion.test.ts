import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync, existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { openTestServer, runWith, testBuild, testId } from './testing.ts';
import { systemClock } from '@croft/runtime/clock';
import { shells } from '@croft/cli/completion';

/** However slow this machine is, the farm is waited for. */
const deadline = (): AbortSignal => systemClock.deadline(60_000);

async function completed(line: string): Promise<string[]> {
  const { stdout, status } = await runWith(['complete', '--', ...line.split(' ')], { deadline });
  assert.equal(status, 0);
  return stdout.split('\n').slice(0, -1);
}

const values = (lines: readonly string[]): string[] => lines.map((line) => line.split('\t')[0] ?? '');

describe('croft complete', () => {
  test('every command that the help lists, and nothing that it hides', async () => {
    const { stdout } = await runWith(['--help']);
    const listed = [...stdout.slice(stdout.indexOf('Commands:')).matchAll(/^ {2}([a-z-]+)/gm)].map(([, name]) => name);
    assert.deepEqual(values(await completed('')), listed);
    assert.ok(listed.length > 10 && !listed.includes('complete'));
  });

  test('every command is in the table of docs/using/cli.md', async () => {
    const page = readFileSync(new URL('../../../docs/using/cli.md', import.meta.url), 'utf8');
    const named = new Set(
      [...page.matchAll(/^\|.*$/gm)].flatMap(([row]) => [...row.matchAll(/`croft ([a-z-]+)/g)].map(([, name]) => name)),
    );
    assert.deepEqual(
      values(await completed('')).filter((name) => name !== 'help' && !named.has(name)),
      [],
    );
  });

  test('commands of commands, options of either, and what they may be', async () => {
    assert.deepEqual(await completed('token rev'), ['revoke\tend a token now, and the sessions made with it']);
    assert.deepEqual(values(await completed('builds --s')), ['--state', '--server']);
    assert.deepEqual(values(await completed('builds --state ')), ['queued', 'running', 'ended']);
    assert.deepEqual(values(await completed('builds --state=r')), ['--state=running']);
    assert.deepEqual(values(await completed('builds --state = r')), ['running']);
    assert.deepEqual(values(await completed('builds --state ended --st')), []);
    assert.deepEqual(values(await completed('completion z')), ['zsh']);
    assert.deepEqual(values(await completed('builds -- --s')), []);
  });

  test('file names are left to the shell', async () => {
    assert.deepEqual(await completed('config check '), [':files']);
    assert.deepEqual(await completed('run --local x --config '), [':files']);
  });

  test('builds, builders and repositories come from the farm', async () => {
    const running = testBuild({ id: 'Bffffffffffffffff', state: 'running', end: undefined });
    await using server = await openTestServer({
      'GET /api/v1/builds': () => Response.json({ builds: [testBuild(), running] }),
      'GET /api/v1/grid': () =>
        Response.json({
          repo: 'a',
          repos: ['app', 'lib'],
          branch: 'm',
          branches: [],
          page: 0,
          older: false,
          builders: ['unit', 'lint'],
          rows: [],
        }),
    });
    const on = (line: string): Promise<string[]> => completed(`--server ${server.url} ${line}`);
    assert.deepEqual(await on('show B0'), [`${testId}\tpassed linux croft@a1b2c3d4`]);
    assert.deepEqual(values(await on('cancel B')), ['Bffffffffffffffff']);
    assert.deepEqual(values(await on('retry x B')), [testId, 'Bffffffffffffffff']);
    assert.ok(server.asked.includes('GET /api/v1/builds?limit=100&state=ended'));
    assert.deepEqual(values(await on('builds --builder u')), ['unit']);
    assert.deepEqual(values(await on('builds --repo=l')), ['--repo=lib']);
    assert.deepEqual(values(await on('notify ')), ['app', 'lib']);
  });

  test('a farm that does not answer within 300 ms is not waited for, nor heard of', async () => {
    const asked = Promise.withResolvers<void>();
    const never = Promise.withResolvers<Response>();
    await using server = await openTestServer({
      'GET /api/v1/builds': () => {
        asked.resolve();
        return never.promise;
      },
    });
    const waited: number[] = [];
    const over = new AbortController();
    const running = runWith(['complete', '--', '--server', server.url, 'show', ''], {
      deadline(ms) {
        waited.push(ms);
        return over.signal;
      },
    });
    await asked.promise;
    over.abort(new DOMException('over', 'TimeoutError'));
    const ran = await running;
    never.resolve(Response.json({ builds: [] }));
    assert.deepEqual([ran.status, ran.stdout, ran.stderr, waited[0]], [0, '', '', 300]);
  });

  test('where there is no farm there are no names', async () => {
    const server = await openTestServer({});
    await server[Symbol.asyncDispose]();
    assert.deepEqual(await completed(`--server ${server.url} show `), []);
  });
});

const path = (process.env['PATH'] ?? '').split(delimiter);
const missing = (program: string): string | false =>
  path.some((dir) => existsSync(join(dir, program))) ? false : `no ${program} is installed`;

describe('the script', () => {
  test('is there for each shell, and no other', async () => {
    for (const shell of shells) assert.match((await runWith(['completion', shell])).stdout, new RegExp(`croft for ${shell}`));
    assert.equal((await runWith(['completion', 'tcsh'])).status, 2);
  });

  test('completes in bash', { skip: missing('bash') }, async (context) => {
    const bash = await openShell(context, 'bash');
    const ask = (...words: string[]): Promise<string> =>
      bash(`COMP_WORDS=(croft ${words.join(' ')}) COMP_CWORD=${words.length}; _croft croft; printf '%s\\n' "\${COMPREPLY[@]}"`);
    assert.equal(await ask('sh'), 'show\n');
    assert.equal(await ask('builds', '--state', "''"), 'queued\nrunning\nended\n');
    assert.equal(await ask('builds', '--state', '=', 'r'), 'running\n');
  });

  test('completes in zsh', { skip: missing('zsh') }, async (context) => {
    // Its completion widgets run on a terminal only: what they would be given is printed.
    const zsh = await openShell(context, 'zsh', 'compdef() { }; _files() { print files }; _describe() { print -l -- $values };');
    const ask = (...words: string[]): Promise<string> => zsh(`words=(croft ${words.join(' ')}); CURRENT=${words.length + 1}; _croft`);
    assert.equal(await ask('sh'), 'show:show a build with its attempts and steps\n');
    assert.equal(await ask('config', 'check', "''"), 'files\n');
    assert.equal(await ask('builds', '--state=e'), '--state=ended:\n');
  });

  test('completes in fish', { skip: missing('fish') }, async (context) => {
    const fish = await openShell(context, 'fish');
    assert.equal(await fish("complete -C 'croft sh'"), 'show\tshow a build with its attempts and steps\n');
    assert.equal(await fish("complete -C 'croft completion '"), 'bash\nfish\nzsh\n');
  });
});

/** A shell that has read the script, with the program, and no farm: how soon one would answer decides no test. */
async function openShell(context: TestContext, shell: (typeof shells)[number], before = ''): Promise<(command: string) => Promise<string>> {
  const dir = mkdtempSync(join(tmpdir(), 'croft-shell-'));
  context.after(() => rmSync(dir, { recursive: true }));
  const main = fileURLToPath(new URL('./main.ts', import.meta.url));
  writeFileSync(join(dir, 'croft'), `#!/bin/sh\nexec '${process.execPath}' '${main}' "$@"\n`);
  chmodSync(join(dir, 'croft'), 0o755);
  writeFileSync(join(dir, 'script'), (await runWith(['completion', shell])).stdout);
  const env = { PATH: [dir, ...path].join(delimiter), HOME: dir };
  return async (command) => {
    const { stdout } = await promisify(execFile)(shell, ['-c', `${before}. ${join(dir, 'script')}; ${command}`], { env, cwd: dir });
    return stdout;
  };
}
