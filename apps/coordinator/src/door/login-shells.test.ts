/** ENV-5 through the door, with each shell as that of the machine's account. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { host, openDoorStage } from './testing-door.ts';

const env = {
  CI: 'true',
  SPACES: ' a  b ',
  QUOTES: `'"\`\\`,
  DOLLAR: '$HOME $(id) ${x}',
  TWO: 'one\ntwo\n',
  NAME: 'äöü 日本',
  EMPTY: '',
};
const isRoot = process.getuid?.() === 0;

for (const shell of ['/bin/sh', '/bin/bash', '/bin/csh', '/usr/bin/fish', '/bin/zsh']) {
  const skip = !isRoot ? 'needs root, to give it another shell' : existsSync(shell) ? false : `${shell} is not installed`;
  test(`ENV-5: with ${shell} commands and shells begin in the environment of the session`, { skip }, async () => {
    await using stage = await openDoorStage({ env, path: ['/opt/tool/bin'] }, shell);
    const command = await stage.ssh([`ann-linux-0@${host}`, 'env -0']);
    assertEnvironment(command.stdout, shell);
    const typed = "stty -echo; env -0 | base64 -w0 | sed 's/^/<<</; s/$/>>>/'; exit 4\r";
    const { code, stdout } = await stage.ssh(['-tt', `ann-linux-0@${host}`], { input: typed });
    assert.match(stdout, /^# Welcome, ann/);
    assert.doesNotMatch(stdout.split('base64')[0] ?? '', /export|setenv/, 'nothing is typed');
    const shown = /<<<([A-Za-z0-9+/=\s]+)>>>/.exec(stdout.replaceAll(/[^ -~]/g, ''))?.[1] ?? '';
    assertEnvironment(Buffer.from(shown, 'base64').toString(), shell);
    assert.equal(code, 4);
  });
}

function assertEnvironment(told: string, shell: string): void {
  const seen = Object.fromEntries(told.split('\0').map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
  for (const [name, value] of Object.entries({ ...env, SHELL: shell })) assert.equal(seen[name], value, name);
  assert.match(seen['PATH'] ?? '', /:\/opt\/tool\/bin(?::|$)/);
}
