import assert from 'node:assert/strict';
import type { RequestListener } from 'node:http';
import { duplexPair } from 'node:stream';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { MachineId, RunId } from '@croft/domain/names';
import { isCode } from '@croft/runtime/errors';
import { silentLog } from '@croft/runtime/log';
import { FakeClock, seededRandom } from '@croft/runtime/testing';
import type { Observed } from './pool.ts';
import { createReverseDesk, type Arrival, type ReverseDesk } from './reverse-desk.ts';
import { machineIdOf, type ReversePool } from './reverse-pool.ts';
import { answerStatus, dialIn, serveWith, type DialledIn } from './testing-reverse.ts';

const hostType = 'host-test';
const a = 'rack-a' as MachineId;
const spoolDir = mkdtempSync(join(tmpdir(), 'croft-spool-'));
after(() => rmSync(spoolDir, { recursive: true }));

interface Stage extends AsyncDisposable {
  readonly clock: FakeClock;
  readonly desk: ReverseDesk;
  readonly pool: ReversePool;
  /** A line of a Croft, or of a buildlet of Go without a `boot`. */
  arrive(over?: Partial<Arrival>, answer?: RequestListener): DialledIn;
  see(): Promise<Observed | undefined>;
  /** Lets what is under way go on, without time passing, until it is so. */
  until(is: (seen: Observed | undefined) => boolean): Promise<Observed | undefined>;
}

const croft = (boot: string): object => ({ boot, epoch: 0, runs: 0, freeBytes: 1e9, lowDisk: false, cpus: 2, pid: 7 });

function openStage(known: readonly MachineId[] = []): Stage {
  const clock = new FakeClock();
  const desk = createReverseDesk({ clock, random: seededRandom(1), log: silentLog });
  const pool = desk.open({ name: 'rack', known, spoolDir });
  pool.declare({ hostType, labels: ['arm'], expect: 2 });
  const lines: DialledIn[] = [];
  const see = async (): Promise<Observed | undefined> => (await pool.reconcile({}))[0];
  return {
    clock,
    desk,
    pool,
    see,
    arrive(over = {}, answer = answerStatus(() => ({ Version: 25 }))) {
      const arrival: Arrival = { hostType, host: 'a', boot: 'one', version: 25, from: '10.0.0.1', ...over };
      const { boot } = arrival;
      const line = dialIn(desk, { clock, arrival, serve: serveWith(answer), ...(boot && { status: () => croft(boot) }) });
      lines.push(line);
      return line;
    },
    async until(is) {
      for (let turns = 0; turns < 2_000; turns += 1) {
        const seen = await see();
        if (is(seen)) return seen;
        await nextTurn();
      }
      assert.fail(`it is ${JSON.stringify(await see())}`);
    },
    async [Symbol.asyncDispose]() {
      for (const line of lines) await line[Symbol.asyncDispose]();
      await pool[Symbol.asyncDispose]();
      await desk[Symbol.asyncDispose]();
    },
  };
}

const isUp = (seen: Observed | undefined): boolean => seen?.state === 'up';

test('a Croft is up when it has told its status over the line, and nothing is picked up for that', async () => {
  await using stage = openStage();
  stage.arrive({}, () => assert.fail('nobody need ask'));
  const seen = await stage.until(isUp);
  assert.deepEqual(seen?.line, { host: 'a', from: '10.0.0.1', since: stage.clock.now() });
  assert.deepEqual([seen?.id, seen?.boot, seen?.version, seen?.cpus, seen?.labels], [a, 'one', 25, 2, ['arm']]);
  await stage.clock.advance(60_000);
  assert.equal(await stage.see(), seen, 'the same object while nothing changes');
});

test('a buildlet of Go is asked for its status every 10 to 14 s', async () => {
  await using stage = openStage();
  let asked = 0;
  stage.arrive({ boot: undefined }, (request, response) => {
    asked += 1;
    answerStatus(() => ({ Version: 25 }))(request, response);
  });
  const seen = await stage.until(isUp);
  assert.deepEqual([seen?.held, seen?.version], [undefined, 25]);
  for (let seconds = 0; seconds < 60; seconds += 1) {
    await stage.clock.advance(1_000);
    for (let turns = 0; turns < 20; turns += 1) await nextTurn();
  }
  assert.ok(asked >= 5 && asked <= 7, `${asked} times in a minute`);
});

test('a buildlet of Go takes builds as well; with the next line it is another one, which knows of nothing', async () => {
  await using stage = openStage();
  const answer: RequestListener = (request, response) => {
    if (request.url === '/workdir') return void response.end('/work');
    if (request.url !== '/exec') return answerStatus(() => ({ Version: 25 }))(request, response);
    response.writeHead(200, { Trailer: 'Process-State' }).write('hi\n');
    response.addTrailers({ 'Process-State': 'exit status 3' });
    response.end();
  };
  const first = stage.arrive({ boot: undefined }, answer);
  const boot = (await stage.until(isUp))?.boot;
  const id = 'B0123456789abcdef.1.test' as RunId;
  const spec = { argv: ['true'], dir: '.', env: {}, limitMs: 60_000, outputLimitBytes: 1_000 };
  const buildlet = stage.pool.connect(a);
  await buildlet.startOrAttach(id, spec, 1, {});
  const run = await buildlet.run(id, { waitMs: 10_000 });
  assert.deepEqual(typeof run === 'object' && run.state === 'ended' && run.exit, { kind: 'exited', code: 3 });
  await first[Symbol.asyncDispose]();
  await stage.until((seen) => seen?.state === 'silent');
  stage.arrive({ boot: undefined }, answer);
  const seen = await stage.until(isUp);
  assert.ok(boot !== undefined && seen?.boot !== undefined && seen.boot !== boot);
  assert.equal(await buildlet.run(id, {}), 'unknown');
});

test('one that does not tell its status, or is too old, is not kept (RP-2)', async () => {
  await using stage = openStage();
  const silent = stage.arrive({ boot: undefined }, () => undefined);
  await stage.until((seen) => seen?.state === 'starting');
  await stage.clock.advance(20_000);
  await silent.listener.done;
  const old = stage.arrive(
    { boot: undefined },
    answerStatus(() => ({ Version: 22 })),
  );
  await old.listener.done;
  const seen = await stage.until((now) => now?.state === 'silent');
  assert.match(seen?.evidence ?? '', /its version is 22, and at least 23 is needed/);
  assert.match(stage.desk.refuse({ hostType, host: 'b', version: 22, from: 'x' }) ?? '', /too old/);
});

test('a newer line of the same boot takes the place of the old one', async () => {
  await using stage = openStage();
  const first = stage.arrive();
  await stage.until(isUp);
  await stage.clock.advance(1_000);
  stage.arrive({ from: '10.0.0.2' });
  await first.listener.done;
  const seen = await stage.until((now) => isUp(now) && now?.line?.from === '10.0.0.2');
  assert.equal(seen?.boot, 'one');
  assert.deepEqual((await stage.pool.reconcile({})).length, 1);
});

test('another machine of the same name is refused while the first one lives, and both can be seen (RP-8)', async () => {
  await using stage = openStage();
  stage.arrive();
  await stage.until(isUp);
  const other: Arrival = { hostType, host: 'a', boot: 'two', version: 25, from: '10.0.0.9' };
  assert.match(
    stage.desk.refuse(other) ?? '',
    /calls itself "a" is connected from 10\.0\.0\.1 since .*; give one of them another host name/,
  );
  assert.match((await stage.see())?.note ?? '', /another machine of this name was refused at .*, from 10\.0\.0\.9/);
});

test('a machine that began anew is let in before the line of its last boot is given up', async () => {
  await using stage = openStage();
  const [near, far] = duplexPair();
  stage.desk.receive({ hostType, host: 'a', boot: 'one', version: 25, from: '10.0.0.1' }, near);
  far.resume().write(`{"command":"status","status":${JSON.stringify(croft('one'))}}\n`);
  await stage.until(isUp);
  const newcomer: Arrival = { hostType, host: 'a', boot: 'two', version: 25, from: '10.0.0.1' };
  assert.ok(stage.desk.refuse(newcomer));
  await stage.clock.advance(10_000); // as behind a cable that was pulled: no end is told
  assert.equal(stage.desk.refuse(newcomer), undefined);
  stage.arrive({ boot: 'two' });
  const seen = await stage.until((now) => isUp(now) && now?.boot === 'two');
  assert.ok(seen);
});

test('a line of Go that another one of its name contests is asked whether it lives', async () => {
  await using stage = openStage();
  let lives = true;
  const first = stage.arrive({ boot: undefined }, (request, response) => {
    if (lives) answerStatus(() => ({ Version: 25 }))(request, response);
  });
  await stage.until(isUp);
  lives = false;
  const newcomer: Arrival = { hostType, host: 'a', version: 25, from: '10.0.0.9' };
  assert.ok(stage.desk.refuse(newcomer));
  for (let turns = 0; turns < 50; turns += 1) await nextTurn();
  await stage.clock.advance(5_000);
  await first.listener.done;
  assert.equal(stage.desk.refuse(newcomer), undefined);
});

test('a machine whose line comes and goes gets no work for a while, which is said', async () => {
  await using stage = openStage();
  for (let round = 0; round < 3; round += 1) {
    const line = stage.arrive({ boot: `boot${round}` });
    await stage.until(isUp);
    await line[Symbol.asyncDispose]();
    await stage.until((seen) => seen?.state === 'silent');
    await stage.clock.advance(1_000);
  }
  stage.arrive({ boot: 'last' });
  const seen = await stage.until(isUp);
  assert.match(seen?.held ?? '', /takes no work before .*: its line ended 3 times in 10 min/);
  await stage.clock.advance(30_000);
  await stage.until((now) => isUp(now) && now?.held === undefined);
});

test('machines of an earlier coordinator are silent until they dial in', async () => {
  await using stage = openStage([a]);
  assert.deepEqual(
    [(await stage.see())?.state, (await stage.see())?.evidence],
    ['silent', 'it has not dialled in since the coordinator started'],
  );
  stage.arrive();
  await stage.until(isUp);
});

test('a lost machine that is not there is forgotten, and told as missing', async () => {
  await using stage = openStage([a]);
  await stage.pool.replace(a, 'it was silent', {});
  assert.equal(await stage.see(), undefined);
  assert.deepEqual(stage.pool.shortfall?.(), {
    hostType,
    expect: 2,
    connected: 0,
    missing: [{ host: 'a', seenAt: stage.clock.now(), why: 'it was silent' }],
  });
  stage.arrive();
  await stage.until(isUp);
  assert.deepEqual(stage.pool.shortfall?.().missing, []);
});

test('a machine that is not trusted is ended, also when that boot comes back, and trusted again when it began anew', async () => {
  await using stage = openStage();
  const halts: string[] = [];
  const answer: RequestListener = (request, response) => {
    halts.push(request.url ?? '');
    response.end();
  };
  const first = stage.arrive({}, answer);
  await stage.until(isUp);
  await stage.pool.replace(a, 'the test says so', {});
  const seen = await stage.see();
  assert.match(seen?.evidence ?? '', /it is ended, since the test says so/, 'at once, without a wait for its end');
  for (let turns = 0; turns < 50; turns += 1) await nextTurn();
  await stage.clock.advance(5_000);
  await first.listener.done;
  const again = stage.arrive({}, answer);
  for (let turns = 0; turns < 50; turns += 1) await nextTurn();
  await stage.clock.advance(5_000);
  await again.listener.done;
  assert.deepEqual(halts, ['/halt', '/halt']);
  stage.arrive({ boot: 'fresh' });
  await stage.until(isUp);
});

test('a drained pool lets nobody in, keeps machines that are leased, and lets the others go', async () => {
  await using stage = openStage();
  const line = stage.arrive();
  await stage.until(isUp);
  stage.pool.drain();
  assert.match(stage.desk.refuse({ hostType, host: 'b', version: 25, from: 'x' }) ?? '', /no pool of this farm takes/);
  assert.equal((await stage.pool.reconcile({ isLeased: async () => true }))[0]?.draining, true);
  assert.equal((await stage.pool.reconcile({ isLeased: async () => true })).length, 1);
  assert.equal((await stage.pool.reconcile({ isLeased: async () => false })).length, 0);
  await line.listener.done;
});

test('a machine that tells another boot over its line than when it dialled in is not believed', async () => {
  await using stage = openStage();
  const arrival: Arrival = { hostType, host: 'a', boot: 'one', version: 25, from: 'x' };
  const line = dialIn(stage.desk, { clock: stage.clock, arrival, status: () => croft('two'), serve: () => undefined });
  assert.ok(isCode(await line.listener.done, 'unavailable'));
  await line[Symbol.asyncDispose]();
});

test('whoever watches is told of many changes at once', async () => {
  await using stage = openStage();
  let rung = 0;
  stage.pool.watch?.(() => (rung += 1));
  for (let host = 0; host < 100; host += 1) stage.arrive({ host: `h${host}` });
  await stage.until(isUp);
  await stage.clock.advance(50);
  assert.ok(rung >= 1 && rung <= 3, `${rung} times`);
  assert.equal((await stage.pool.reconcile({})).length, 100);
});

test('any host name makes an id, and different ones different ids', () => {
  assert.equal(machineIdOf('rack', 'mini01.example'), 'rack-mini01.example');
  const odd = [' ', 'ä', 'ö', 'a/b', 'a b', 'x'.repeat(300), 'x'.repeat(301)];
  assert.equal(new Set(odd.map((host) => machineIdOf('rack', host))).size, odd.length);
});
