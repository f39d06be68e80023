/** The command line for Go's machines, parsed by every login shell that is here. gomote-ssh.md ENV-5. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtempDisposable, mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { goScript } from './go-script.ts';

const env = {
  SPACES: ' a  b ',
  QUOTES: `'"\`\\`,
  DOLLAR: '$HOME $(id) ${x} !!',
  TWO: 'one\ntwo\n',
  ODD: 'äöü 日本 🦊',
  GLOB: '* ? [a] ~',
  EMPTY: '',
};

for (const shell of ['/bin/sh', '/bin/bash', '/bin/csh', '/usr/bin/fish', '/bin/zsh']) {
  const skip = existsSync(shell) ? false : `${shell} is not installed`;
  const sh = (line: string, over: NodeJS.ProcessEnv = {}): string =>
    execFileSync(shell, ['-c', line], { encoding: 'utf8', env: { PATH: '/usr/bin:/bin', SHELL: '/bin/sh', HOME: '/', ...over } });

  test(`ENV-5: with ${shell} as login shell variables, directory and path are exact`, { skip }, async () => {
    await using dir = await mkdtempDisposable(join(tmpdir(), 'croft-it’s -'));
    await mkdir(join(dir.path, 'app'));
    const ground = { workDir: dir.path, dir: 'app', path: ['/opt/a b/bin'], env };
    const told = sh(goScript({ commandLine: 'env -0; pwd', env: { LC_ALL: 'C.UTF-8' }, ground }));
    const [pwd = '', ...variables] = told.split('\0').toReversed();
    const seen = Object.fromEntries(variables.map((one) => [one.slice(0, one.indexOf('=')), one.slice(one.indexOf('=') + 1)]));
    for (const [name, value] of Object.entries({ ...env, LC_ALL: 'C.UTF-8', PATH: '/usr/bin:/bin:/opt/a b/bin' }))
      assert.equal(seen[name], value, name);
    assert.equal(pwd, `${dir.path}/app\n`);
  });

  test(`with ${shell} anything may be in a variable and a command, and its status comes back`, { skip }, () => {
    const ground = { workDir: '/', dir: '.', path: [], env: {} };
    const text = fc.string({ unit: 'binary', maxLength: 40 }).filter((value) => !value.includes('\0'));
    fc.assert(
      fc.property(text, (value) => {
        const quoted = `'${value.replaceAll("'", `'\\''`)}'`;
        const told = sh(goScript({ commandLine: `printf "%s|%s" "$V" ${quoted}`, env: { V: value }, ground }));
        const whole = Buffer.from(value, 'utf8').toString('utf8'); // halves of pairs are none
        assert.equal(told, `${whole}|${whole}`);
      }),
      { numRuns: 25 },
    );
    assert.throws(() => sh(goScript({ commandLine: 'exit 7', env: {}, ground })), { status: 7 });
  });

  test(`with ${shell} a work directory that was removed is made again`, { skip }, async () => {
    await using dir = await mkdtempDisposable(join(tmpdir(), 'croft-gone-'));
    const ground = { workDir: join(dir.path, 'work'), dir: 'app', path: [], env: {} };
    assert.equal(sh(goScript({ commandLine: 'pwd', env: {}, ground })), `${ground.workDir}\n`);
  });
}
