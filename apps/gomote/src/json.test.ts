/** `--json`: whatever a command does or whyever it fails, stdout has one well-formed value. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { oneValue, openTestServer, runWith } from '@croft/cli/testing';
import { commandNames, runCli } from './cli.ts';
import { openTestFarm } from './testing.ts';

/** A key of each value, of a command that does what it should, in an order in which each finds what it needs. */
const done: readonly (readonly [args: string, key: string])[] = [
  ['create -list', 'builders'],
  ['create -count 2 -new-group two linux', 'sessions'],
  ['list', 'sessions'],
  ['ping ann-linux-0', 'instances'],
  ['ping -status ann-linux-0', 'instances'],
  ['extend ann-linux-0 2h', 'sessions'],
  ['share ann-linux-0 bob', 'sessions'],
  ['note ann-linux-0 for a while', 'sessions'],
  ['put14 ann-linux-0', 'put'],
  ['putbootstrap ann-linux-0', 'put'],
  ['put ann-linux-0 file', 'path'],
  ['push ann-linux-0 tree there', 'pushed'],
  ['push -dry-run ann-linux-0 tree there', 'pushed'],
  ['ls -R -d ann-linux-0', 'entries'],
  ['gettar -dir there -output got.tar.gz ann-linux-0', 'files'],
  ['-group two gettar -dir .', 'files'],
  ['puttar -dir again ann-linux-0 got.tar.gz', 'dir'],
  ['rm ann-linux-0 again', 'removed'],
  ['run ann-linux-0 echo out', 'run'],
  ['-group two run echo out', 'runs'],
  ['run -detach ann-linux-0 echo out', 'run'],
  ['attach ann-linux-0', 'run'],
  ['group create one', 'name'],
  ['-group one group add ann-linux-0', 'instances'],
  ['-group one group remove ann-linux-0', 'instances'],
  ['group list', 'groups'],
  ['group destroy one', 'name'],
  ['destroy ann-linux-0', 'sessions'],
  ['-group two destroy -destroy-group', 'sessions'],
];

/** Commands of builds and of doors, which the farm of these tests has not: tried in `farm/src/gomote-people.e2e.test.ts` and `gomote.e2e.test.ts`. */
const elsewhere = ['repro', 'hold', 'unhold', 'ssh', 'forward', 'rdp', 'login'];
/** A script for a shell, which no program reads. */
const noJson = ['completion', 'complete'];

describe('--json', () => {
  test('each command that does what it should writes one value', async () => {
    await using farm = await openTestFarm();
    writeFileSync(join(farm.home, 'file'), 'hello\n');
    mkdirSync(join(farm.home, 'tree'));
    writeFileSync(join(farm.home, 'tree/file'), 'in a tree\n');
    for (const [args, key] of done) {
      const { status, stdout, stderr } = await farm.gomote(['--json', ...args.split(' ')]);
      assert.equal(status, 0, `${args}: ${stderr}`);
      assert.ok(key in oneValue(stdout, args), `${args}: ${stdout}`);
    }
  });

  test('each command that fails writes why as one value, and its status is that of text', async () => {
    await using empty = await openTestServer({});
    for (const name of commandNames.filter((one) => !noJson.includes(one)))
      for (const words of [[name], [name, '-no-such-option'], [name, 'ann-linux-0', 'x', 'y'], [name, 'x']]) {
        const env = { CROFT_SERVER: empty.url, HOME: '/nowhere' };
        const asText = await runWith(runCli, words, { env });
        if (asText.status === 0) continue;
        const { status, stdout } = await runWith(runCli, ['--json', ...words], { env });
        const value = oneValue(stdout, words.join(' ')) as { error?: { code?: unknown; message?: unknown } };
        assert.equal(status, asText.status, words.join(' '));
        if ('instances' in value) continue; // ping tells of each whether it is alive
        assert.deepEqual([typeof value.error?.code, typeof value.error?.message], ['string', 'string'], words.join(' '));
      }
  });

  test('help that is asked for is text, wherever the option stands; of what is no command it is a failure like any other', async () => {
    for (const words of [
      'help --json',
      '--json help',
      '-h --json',
      'help push --json',
      '--json push -h',
      'help group add --json',
      'group help --json',
    ]) {
      const { status, stdout, stderr } = await runWith(runCli, words.split(' '));
      assert.deepEqual([status, stderr, stdout.startsWith('Usage: gomote ')], [0, '', true], words);
    }
    for (const words of ['--json', '--json group', 'help nothing --json', 'help group nothing --json', '--json nothing', '--json pusj']) {
      const { status, stdout } = await runWith(runCli, words.split(' '));
      const { error } = oneValue(stdout, words) as { error: { code: string; message: string } };
      assert.deepEqual([status, error.code], [2, 'invalid'], words);
      assert.match(error.message, /^(no command is named|unknown command '\w+')$/, words);
    }
  });

  test('no command is left out of these', () => {
    const tried = new Set([...done.map(([args]) => args.replace(/^-group \w+ /, '').split(' ')[0] ?? ''), ...elsewhere, ...noJson]);
    assert.deepEqual(
      commandNames.filter((name) => !tried.has(name)),
      [],
    );
  });
});
