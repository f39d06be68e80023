/** `gomote login` on a real terminal: a token is never shown, and the terminal is as it was afterwards, however it ends. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempDisposableSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { openTestServer, runWith, type TestServer } from '@croft/cli/testing';
import { SECOND, systemClock } from '@croft/runtime/clock';
import { runCli } from './cli.ts';

const token = 'croft_0123456789abcdef';
const main = join(import.meta.dirname, 'main.ts');
const hasScript = ((): boolean => {
  try {
    return execFileSync('script', ['--version'], { encoding: 'utf8' }).includes('util-linux');
  } catch {
    return false;
  }
})();
const skip = hasScript ? false : 'script of util-linux is not installed';

/** @param asked gets the proof of each request */
function openFarm(asked: (string | null)[] = []): Promise<TestServer> {
  return openTestServer({
    'GET /api/v1/me': (request) =>
      asked[asked.push(request.headers.get('authorization')) - 1] === `Bearer ${token}`
        ? Response.json({ name: 'ann', role: 'developer' })
        : Response.json({ code: 'unauthenticated', message: 'this token does not count' }, { status: 401 }),
  });
}

/** @param act when it waits for a token. @returns all that the terminal showed, with the exit status and how it was left */
async function loginAt(url: string, home: string, act: (type: (keys: string) => void, pid: number) => void): Promise<string> {
  const command = `sh -c 'echo pid $$; exec ${process.execPath} ${main} login ${url}'; echo "status $?"; stty -a`;
  const env = { PATH: process.env['PATH'], HOME: home, NO_COLOR: '1' };
  const terminal = spawn('script', ['-qfec', command, '/dev/null'], { env, signal: systemClock.deadline(30 * SECOND) });
  const ended = Promise.withResolvers<void>();
  terminal.once('close', () => ended.resolve()).once('error', ended.reject);
  let shown = '';
  let isAsked = false;
  terminal.stdout.setEncoding('utf8').on('data', (text: string) => {
    shown += text;
    if (isAsked || !shown.includes('who you are')) return;
    isAsked = true;
    act((keys) => void terminal.stdin.write(keys), Number(/pid (\d+)/.exec(shown)?.[1]));
  });
  await ended.promise;
  return shown;
}

const isEchoing = / icanon[^]* echo /;

describe('on a terminal login', { skip }, () => {
  const cases: readonly { of: string; keys: string; signal?: NodeJS.Signals; status: number; says: RegExp }[] = [
    { of: 'takes what is pasted', keys: `${token}\r`, status: 0, says: /it is not shown[^]*ann at http/ },
    { of: 'takes what is typed and corrected', keys: `x\x15${token}!\x7f\r`, status: 0, says: /ann at http/ },
    { of: 'tells of a token that does not count', keys: `${token}0\r`, status: 4, says: /does not count/ },
    { of: 'ends at Ctrl-C', keys: `${token}\x03`, status: 130, says: /interrupted/ },
    { of: 'ends at Ctrl-D and forgets nothing', keys: '\x04', status: 130, says: /nothing was typed/ },
    { of: 'ends at a signal', keys: '', signal: 'SIGTERM', status: 143, says: /Terminated|status 143/ },
  ];
  for (const { of, keys, signal, status, says } of cases)
    test(`${of}, and shows nothing of it`, async () => {
      using home = mkdtempDisposableSync(join(tmpdir(), 'croft-login-'));
      await using farm = await openFarm();
      const shown = await loginAt(farm.url, home.path, (type, pid) => {
        type(keys);
        if (signal) process.kill(pid, signal);
      });
      assert.match(shown, says);
      assert.match(shown, new RegExp(`status ${status}\\b`));
      assert.match(shown, isEchoing);
      assert.ok(!shown.includes('croft_'), shown);
      if (status === 0) assert.equal(JSON.parse(readFileSync(join(home.path, '.config/croft/login.json'), 'utf8')).token, token);
      if (status !== 0) assert.throws(() => readFileSync(join(home.path, '.config/croft/login.json')));
    });
});

test('an empty token forgets who you are, whatever the farm says of nobody', async () => {
  using home = mkdtempDisposableSync(join(tmpdir(), 'croft-login-'));
  const asked: (string | null)[] = [];
  await using farm = await openFarm(asked);
  const env = { HOME: home.path };
  assert.equal((await runWith(runCli, ['login', farm.url], { env, stdin: token })).status, 0);
  const forgot = await runWith(runCli, ['login', farm.url], { env });
  assert.deepEqual([forgot.status, forgot.stderr], [0, `nobody at ${farm.url}, kept in ${join(home.path, '.config/croft/login.json')}\n`]);
  assert.deepEqual(JSON.parse(readFileSync(join(home.path, '.config/croft/login.json'), 'utf8')), { server: farm.url });
  assert.equal(asked.at(-1), null);
  assert.deepEqual(JSON.parse((await runWith(runCli, ['login', '--json', farm.url], { env })).stdout), { server: farm.url });
});
