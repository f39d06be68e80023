/**
 * What a coordinator says and obeys on the lines of its buildlets, byte for byte, of Go's pool and of ours (buildlet.md 2.2, 2.4, 2.5 and
 * Part 6, 11 and 12). The buildlet is the test, by hand.
 */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { createKeyPair } from '@croft/buildlet/key-pair';
import { systemClock } from '@croft/runtime/clock';
import { systemRandom } from '@croft/runtime/random';
import { until } from '../testing-waiting.ts';
import type { Maker } from './buildlets.ts';
import { openCroftPool, openGoCoordinator, type Registry } from './coordinators.ts';
import { goPrograms } from './go-programs.ts';
import { dialRaw, head, type RawLine } from './raw-lines.ts';

const programs = await goPrograms({ env: process.env, progress: (text) => process.stderr.write(`${text}\n`) });
const masterKey = 'the master key of this test';
const hostType = 'host-linux-test';
const key = createHmac('md5', masterKey).update(hostType).digest('hex');
const waitMs = 20_000;
const good = {
  'X-Go-Builder-Key': key,
  'X-Go-Builder-Version': '25',
  'X-Go-Host-Type': hostType,
  'X-Revdial-Version': '2',
};
type Fields = Readonly<Record<string, string | undefined>>;
let cases = 0;

for (const maker of ['Go', 'Croft'] as const)
  describe(`a buildlet by hand × ${maker}’s coordinator (${'missing' in programs ? 'Go' : programs.version})`, () => registers(maker));

function registers(maker: Maker): void {
  let coordinator: Registry | undefined;
  before(async () => {
    if ('missing' in programs) return;
    const pair = await createKeyPair({ clock: systemClock, random: systemRandom });
    const options = { programs, pair, masterKey };
    coordinator = maker === 'Go' ? await openGoCoordinator(options) : await openCroftPool(options, hostType);
  });
  after(() => coordinator?.[Symbol.asyncDispose]());

  const check = (name: string, body: (open: (fields?: Fields) => Promise<RawLine>, port: number) => Promise<void>): void => {
    void test(name, async (t) => {
      if ('missing' in programs) return t.skip(programs.missing);
      const port = coordinator?.port ?? assert.fail();
      using lines = new DisposableStack();
      const hostname = `myhost-${(cases += 1)}`;
      const open = async (fields: Fields = {}): Promise<RawLine> => {
        const line = await dialRaw(port);
        lines.defer(() => line.close());
        line.write(request('/reverse', { 'X-Go-Builder-Hostname': hostname, ...good, ...fields }));
        return line;
      };
      await body(open, port);
    });
  };

  const refusals: readonly [string, Fields, number, string][] = [
    ['no revdial version', { 'X-Revdial-Version': undefined, 'X-Go-Builder-Hostname': undefined }, 400, 'buildlet binary is too old\n'],
    ['another revdial version', { 'X-Revdial-Version': '3', 'X-Go-Builder-Hostname': undefined }, 400, 'unknown revdial version\n'],
    ['no host name', { 'X-Go-Builder-Hostname': undefined, 'X-Go-Host-Type': undefined }, 400, 'missing X-Go-Builder-Hostname header\n'],
    ['no host type', { 'X-Go-Host-Type': undefined, 'X-Go-Builder-Key': 'x' }, 400, 'missing X-Go-Host-Type; old buildlet binary?\n'],
    ['a wrong key', { 'X-Go-Builder-Key': 'x' }, 412, 'invalid build key\n'],
    ['the key of another host type', { 'X-Go-Host-Type': 'host-other' }, 412, 'invalid build key\n'],
    ['no key', { 'X-Go-Builder-Key': undefined }, 412, 'invalid build key\n'],
  ];
  for (const [what, fields, status, text] of refusals) {
    check(`${what} is refused with ${status} and the reason`, async (open) => {
      const line = await open(fields);
      const answer = await line.until(head);
      assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `));
      assert.equal(await line.bytes(text.length), text);
    });
  }

  check(
    'a registration is answered 101 without Upgrade, then come a keep-alive and the call for a connection, which asks for the status',
    async (open, port) => {
      const control = await open();
      assert.match(await control.until(head), /^HTTP\/\d\.\d 101 Switching Protocols\r\n/);
      assert.equal(await control.until('\n'), '{"command":"keep-alive"}\n');
      const picked = await pickUp(control, port);
      const asked = await picked.until(head);
      assert.match(asked, /^GET \/status HTTP\/1\.1\r\n(.*\r\n)*Host: myhost-\d+\r\n/i);
      answerStatus(picked, 25);
      await until(() => coordinator?.has(hostType), { what: 'the buildlet in the pool', limitMs: waitMs });
    },
  );

  check('a buildlet that is too old is dropped', async (open, port) => {
    const control = await open();
    await control.until(head);
    const picked = await pickUp(control, port);
    await picked.until(head);
    answerStatus(picked, 22);
    await control.ended;
  });

  check('a pick-up that failed is the end of what it was for, not of the coordinator', async (open) => {
    const control = await open();
    await control.until(head);
    const path = await called(control);
    control.write(`${JSON.stringify({ command: 'pickup-failed', connPath: path, err: 'no way' })}\n`);
    await control.ended;
    await until(() => coordinator?.log().includes('no way'), { what: 'the reason in its log', limitMs: waitMs });
  });

  check('a line of 4096 bytes that it does not know is left out, one of 4097 ends the line', async (open) => {
    const control = await open();
    await control.until(head);
    await called(control);
    const line = (bytes: number): string => `{"command":"unknown","err":"${'x'.repeat(bytes - 31)}"}\n`;
    assert.equal(line(4096).length, 4096);
    control.write(line(4096));
    control.write('{"command":"unknown"}\n');
    control.write(line(4097));
    await control.ended;
  });

  check('a line that is no JSON ends the line', async (open) => {
    const control = await open();
    await control.until(head);
    control.write('no JSON\n');
    await control.ended;
  });

  check('a connection for nobody is refused', async (_, port) => {
    const answers: readonly [string, string, RegExp, string][] = [
      ['GET', '/revdial?revdial.dialer=00ff', /^HTTP\/1\.1 400 /, 'unknown dialer\n'],
      ['GET', '/revdial', /^HTTP\/1\.1 400 /, 'unknown dialer\n'],
      ['POST', '/revdial?revdial.dialer=00ff', /^HTTP\/1\.1 405 [^]*\r\nAllow: GET\r\n/i, 'expected GET request to revdial conn handler\n'],
    ];
    for (const [method, path, first, text] of answers) {
      const line = await dialRaw(port);
      line.write(request(path, {}, method));
      assert.match(await line.until(head), first);
      assert.equal(await line.bytes(text.length), text);
      line.close();
    }
  });
}

for (const maker of ['Go', 'Croft'] as const) {
  void test(`without a master key ${maker}’s coordinator lets in ${maker === 'Go' ? 'whoever shows none' : 'nobody'}`, async (t) => {
    if ('missing' in programs) return t.skip(programs.missing);
    const pair = await createKeyPair({ clock: systemClock, random: systemRandom });
    const options = { programs, pair, masterKey: '' };
    await using coordinator = maker === 'Go' ? await openGoCoordinator(options) : await openCroftPool(options, hostType);
    const line = await dialRaw(coordinator.port);
    line.write(request('/reverse', { ...good, 'X-Go-Builder-Hostname': 'anybody', 'X-Go-Builder-Key': undefined }));
    assert.match(await line.until(head), maker === 'Go' ? /^HTTP\/0\.0 101 / : /^HTTP\/1\.1 412 /);
    line.close();
  });
}

function request(path: string, fields: Fields, method = 'GET'): string {
  const given = Object.entries({ Host: '', 'User-Agent': 'Go-http-client/1.1', ...fields }).filter(([, value]) => value !== undefined);
  return `${method} ${path} HTTP/1.1\r\n${given.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
}

/** The path at which the coordinator wants a connection. */
async function called(control: RawLine): Promise<string> {
  for (;;) {
    const message = JSON.parse(await control.until('\n')) as { command: string; connPath?: string };
    if (message.command === 'conn-ready') return message.connPath ?? '';
    assert.equal(message.command, 'keep-alive');
  }
}

/** Fetches the connection that the coordinator calls for. */
async function pickUp(control: RawLine, port: number): Promise<RawLine> {
  const path = await called(control);
  assert.match(path, /^\/revdial\?revdial\.dialer=[0-9a-f]{32}(&conn=\d+)?$/);
  const picked = await dialRaw(port);
  picked.write(request(path, {}));
  assert.match(await picked.until(head), /^HTTP\/\d\.\d 101 Switching Protocols\r\n/);
  return picked;
}

function answerStatus(picked: RawLine, version: number): void {
  const body = `{"Version":${version}}`;
  picked.write(`HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
}
