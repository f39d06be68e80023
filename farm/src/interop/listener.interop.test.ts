/**
 * What a buildlet says and obeys on its lines to a coordinator, byte for byte, of Go's and of ours (buildlet.md 1.15, 2.2, 2.4 and
 * Part 6, 11). The coordinator is the test, by hand.
 */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { before, describe, test, type TestContext } from 'node:test';
import { createKeyPair, type KeyPair } from '@croft/buildlet/key-pair';
import { systemClock } from '@croft/runtime/clock';
import { systemRandom } from '@croft/runtime/random';
import { until } from '../testing-waiting.ts';
import { reverseFlags, startBuildlet, type BuildletProcess, type Maker } from './buildlets.ts';
import { goPrograms } from './go-programs.ts';
import { head, openRawCoordinator, type RawCoordinator, type RawLine } from './raw-lines.ts';

const programs = await goPrograms({ env: process.env, progress: (text) => process.stderr.write(`${text}\n`) });
const makers: readonly Maker[] = ['Go', 'Croft'];
const hostType = 'host-linux-test';
/** Of the public development key; the vector stands in buildlet.md 1.15. */
const developmentKey = createHmac('md5', 'gophers rule').update(hostType).digest('hex');
const switched = { Go: 'HTTP/0.0 101 Switching Protocols\r\n\r\n', Croft: 'HTTP/1.1 101 Switching Protocols\r\n\r\n' };
const redirect = (to: string): string => `HTTP/1.1 307 Temporary Redirect\r\nLocation: ${to}\r\nContent-Length: 0\r\n\r\n`;
const refusal = (status: string, text: string): string =>
  `HTTP/1.1 ${status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${text.length}\r\n\r\n${text}`;
const connReady = (path: string): string => `${JSON.stringify({ command: 'conn-ready', connPath: path })}\n`;
/** A line of this length, its line feed included, that nobody has to obey. */
const lineOf = (bytes: number): string => {
  const empty = '{"command":"unknown","err":""}\n';
  return empty.replace('""', `"${'x'.repeat(bytes - empty.length)}"`);
};
const waitMs = 20_000;

interface Stage {
  readonly buildlet: BuildletProcess;
  readonly coordinator: RawCoordinator;
  /** The line on which it registers, its request taken. */
  readonly control: RawLine;
  readonly request: string;
}

for (const maker of makers) {
  describe(`a coordinator by hand × ${maker}’s buildlet (${'missing' in programs ? 'Go' : programs.version})`, () => {
    let pair: KeyPair;
    before(async () => {
      pair = await createKeyPair({ clock: systemClock, random: systemRandom });
    });

    const check = (name: string, body: (stage: Stage) => Promise<void>): void => {
      void test(name, async (t: TestContext) => {
        if ('missing' in programs) return t.skip(programs.missing);
        await using stack = new AsyncDisposableStack();
        const coordinator = stack.use(await openRawCoordinator(pair));
        const flags = reverseFlags(maker, { coordinator: `127.0.0.1:${coordinator.port}`, hostType, hostname: 'myhost' });
        const buildlet = stack.use(await startBuildlet(maker, { programs, env: process.env, reverse: true, flags }));
        const control = await coordinator.next().catch((error: unknown) => assert.fail(`${String(error)}\n${buildlet.output()}`));
        const request = await control.until(head);
        await body({ buildlet, coordinator, control, request });
      });
    };

    check('it registers with its key, its kind and its name, and an empty Host', async ({ request }) => {
      const [first, ...fields] = request.trimEnd().split('\r\n');
      assert.equal(first, 'GET /reverse HTTP/1.1');
      const version = /X-Go-Builder-Version: (\d+)/.exec(request)?.[1];
      assert.ok(Number(version) >= 25);
      const expected = [
        'Host: ',
        'User-Agent: Go-http-client/1.1',
        'X-Go-Builder-Hostname: myhost',
        `X-Go-Builder-Key: ${developmentKey}`,
        `X-Go-Builder-Version: ${version}`,
        'X-Go-Host-Type: host-linux-test',
        'X-Revdial-Version: 2',
      ];
      if (maker === 'Go') assert.deepEqual(fields, expected);
      else assert.deepEqual(fields.filter((field) => !field.startsWith('Croft-')).toSorted(), expected.toSorted());
    });

    for (const [of, answer] of Object.entries(switched)) {
      check(
        `the 101 of ${of}’s coordinator is taken, and each connection asked for is fetched and served`,
        async ({ coordinator, control }) => {
          control.write(answer);
          control.write('{"command":"keep-alive"}\n');
          for (const path of ['/revdial?revdial.dialer=00ff&conn=1', '/revdial?revdial.dialer=00ff&conn=2']) {
            control.write(connReady(path));
            const picked = await coordinator.next();
            const [first, ...fields] = (await picked.until(head)).trimEnd().split('\r\n');
            assert.equal(first, `GET ${path} HTTP/1.1`);
            assert.ok(fields.includes('Host: '));
            picked.write(answer);
            await served(picked);
            await served(picked); // the connection is kept
          }
        },
      );
    }

    check('a redirect is followed once, on the same connection', async ({ coordinator, control }) => {
      control.write(redirect('/farmer.golang.org/reverse'));
      assert.match(await control.until(head), /^GET \/farmer\.golang\.org\/reverse HTTP\/1\.1\r\n/);
      control.write(switched.Go);
      control.write(connReady('/revdial?revdial.dialer=00ff'));
      const picked = await coordinator.next();
      assert.match(await picked.until(head), /^GET \/revdial\?/);
      picked.write(redirect('/farmer.golang.org/revdial?revdial.dialer=00ff'));
      assert.match(await picked.until(head), /^GET \/farmer\.golang\.org\/revdial\?revdial\.dialer=00ff /);
      picked.write(switched.Go);
      await served(picked);
    });

    check('a second redirect is one too many, and is told on the control line', async ({ coordinator, control }) => {
      control.write(switched.Go);
      control.write(connReady('/revdial?revdial.dialer=00ff'));
      const picked = await coordinator.next();
      for (const to of ['/a', '/b']) {
        await picked.until(head);
        picked.write(redirect(to));
      }
      await picked.ended;
      assert.match(await control.until('\n'), /"command":"pickup-failed".*too many redirects/);
    });

    check('a pick-up that is refused is told on the control line, with the answer; ours says which', async ({ coordinator, control }) => {
      control.write(switched.Go);
      control.write(connReady('/revdial?revdial.dialer=00ff'));
      const picked = await coordinator.next();
      await picked.until(head);
      picked.write(refusal('400 Bad Request', 'unknown dialer\n'));
      const said = JSON.parse(await control.until('\n')) as Record<string, string>;
      assert.equal(said['command'], 'pickup-failed');
      assert.match(said['err'] ?? '', /switch failed: want HTTP status 101 or 307; got 400 Bad Request:\n\tunknown dialer\n/);
      assert.equal(said['connPath'], maker === 'Go' ? undefined : '/revdial?revdial.dialer=00ff');
      await picked.ended;
    });

    check('a line of 4096 bytes that it does not know is left out, one of 4097 ends the line', async ({ coordinator, control }) => {
      control.write(switched.Go);
      control.write(lineOf(4096));
      control.write(connReady('/revdial?revdial.dialer=00ff'));
      await (await coordinator.next()).until(head);
      control.write(lineOf(4097));
      await control.ended;
    });

    check('a line that is no JSON ends the line', async ({ control }) => {
      control.write(switched.Go);
      control.write('keep-alive\n');
      await control.ended;
    });

    check('a Go coordinator hears nothing unasked', async ({ coordinator, control }) => {
      control.write(switched.Go);
      control.write('{"command":"keep-alive"}\n');
      control.write(connReady('/revdial?revdial.dialer=00ff'));
      const picked = await coordinator.next();
      await picked.until(head);
      picked.write(switched.Go);
      await served(picked);
      assert.equal(control.rest, '');
    });

    check('when its coordinator goes away, Go’s buildlet ends and ours dials again', async ({ buildlet, coordinator, control }) => {
      control.write(switched.Go);
      control.write('{"command":"keep-alive"}\n');
      control.close();
      if (maker === 'Go') assert.equal(await buildlet.ended, 0);
      else assert.match(await (await coordinator.next()).until(head), /^GET \/reverse /);
    });

    check('refused, Go’s buildlet ends and ours goes on trying; both say why', async ({ buildlet, coordinator, control }) => {
      control.write(refusal('412 Precondition Failed', 'invalid build key\n'));
      if (maker === 'Go') assert.equal(await buildlet.ended, 1);
      else assert.match(await (await coordinator.next()).until(head), /^GET \/reverse /);
      const what = `412 Precondition Failed`;
      await until(() => buildlet.output().includes(what), { what, limitMs: waitMs, tell: buildlet.output });
      assert.match(buildlet.output(), /invalid build key/);
    });
  });
}

/** One request over a connection that was picked up, as Go's coordinator sends it. */
async function served(picked: RawLine): Promise<void> {
  picked.write('GET /status HTTP/1.1\r\nHost: myhost\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\n\r\n');
  const answer = await picked.until(head);
  assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/);
  assert.match(await picked.bytes(Number(/\r\nContent-Length: (\d+)\r\n/i.exec(answer)?.[1])), /^\{"Version":\d+/);
}
