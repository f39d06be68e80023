import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isCode } from '@croft/runtime/errors';
import { checkAskedEnvironment, commandEnvironment, passedEnvironment } from './environment.ts';

const place = { workDir: '/w', cwd: '/w/src', cookie: 'random:id' };

test('only listed names pass, and what a package manager put into PATH does not', () => {
  const own = {
    PATH: '/x/node_modules/.bin:/home/u/.bin:/usr/lib/node_modules/npm/node-gyp-bin:/usr/bin',
    HOME: '/home/u',
    LC_ALL: 'C',
    https_proxy: 'p',
    NO_PROXY: 'q',
    TMPDIR: '/elsewhere',
    META_password: 's',
    CROFT_COOKIE: 'of the farm that builds this farm',
    npm_config_cache: 's',
    NODE_COMPILE_CACHE: 's',
    SSH_AUTH_SOCK: 's',
    AWS_SECRET_ACCESS_KEY: 's',
    LD_PRELOAD: 's',
  };
  assert.deepEqual(commandEnvironment(passedEnvironment(own, undefined), { HOME: '/asked', EXTRA: '1' }, place), {
    PATH: '/home/u/.bin:/usr/bin',
    HOME: '/asked',
    SHELL: '/bin/sh',
    LC_ALL: 'C',
    https_proxy: 'p',
    NO_PROXY: 'q',
    WORKDIR: '/w',
    TMPDIR: '/w/tmp',
    PWD: '/w/src',
    CROFT_COOKIE: 'random:id',
    EXTRA: '1',
  });
});

test('what a container’s image sets is for commands, and gives way to what the buildlet has', () => {
  const own = { PATH: '/bin', LANG: 'C', CROFT_COMMAND_ENV: '{"JAVA_HOME":"/jdk","LANG":"de","LD_PRELOAD":"/a.so"}' };
  const { JAVA_HOME, LANG, LD_PRELOAD, CROFT_COMMAND_ENV } = passedEnvironment(own, undefined);
  assert.deepEqual([JAVA_HOME, LANG, LD_PRELOAD, CROFT_COMMAND_ENV], ['/jdk', 'C', '/a.so', undefined]);
});

test('what an account has is there where the buildlet and the image say nothing; SHELL is the one that people get', () => {
  const account = { name: 'ann', home: '/home/ann', shell: '/bin/zsh' };
  const own = { HOME: '/var/lib/farm', SHELL: '/bin/bash', CROFT_COMMAND_ENV: '{"LOGNAME":"of the image","SHELL":"/bin/ash"}' };
  const { HOME, USER, LOGNAME, SHELL } = passedEnvironment(own, account);
  assert.deepEqual([HOME, USER, LOGNAME, SHELL], ['/var/lib/farm', 'ann', 'of the image', '/bin/zsh']);
});

test('names that are the farm’s to set are refused', () => {
  for (const name of ['CROFT_COOKIE', 'CROFT_X', 'META_password']) {
    assert.throws(
      () => checkAskedEnvironment({ [name]: 'x' }),
      (error) => isCode(error, 'invalid') && error.message.includes(name),
    );
  }
  checkAskedEnvironment({ MY_CROFT_X: 'fine' });
});
