/** How soon what is typed is shown, through the SSH door over a reverse line and by OpenSSH straight: in one shell, and in many at once. */
import { once } from 'node:events';
import { anySignal, MINUTE } from '@croft/runtime/clock';
import { createBell } from '@croft/runtime/tasks';
import ssh2, { type ClientChannel } from 'ssh2';
import { pssMB } from '../process-memory.ts';
import type { Bench, Measurement, Row } from '../row.ts';
import { quantile } from '../samples.ts';
import { openSshPlace, type SshPlace, type Way } from '../ssh-place.ts';

const keys = 1_000;
const betweenKeysMs = 5;
const goalEchoMs = 5;
const manyShells = 200;
/** Fewer than sshd’s MaxStartups, from which on it turns some away. */
const openingAtOnce = 8;
/** Enough that one key in a hundred is not simply the slowest of all. */
const keysOfEach = 100;
/** Of each person: all of them together type 500 keys a second. */
const rhythmMs = 400;
const goalShellsMB = 300;
const goalShellsMs = 20;
/** Who waits for a key longer than this has lost the machine. */
const rowMs = 10 * MINUTE;

export const echo: Row = { name: 'echo', about: 'one key through the SSH door, from being typed to being shown', run: runEcho };
export const shells: Row = {
  name: 'shells',
  about: `${manyShells} people at once in a shell each through the SSH door, who type a key each ${rhythmMs} ms`,
  run: runShells,
};

/** By turns, so that whatever else the machine does meets both. */
async function runEcho(bench: Bench): Promise<Measurement[]> {
  await using place = await openSshPlace(bench);
  await using mine = await openShell(place.door, place, bench);
  await using theirs = await openShell(place.direct, place, bench);
  const times = new Map<Shell, number[]>([
    [mine, []],
    [theirs, []],
  ]);
  bench.progress('typing');
  for (let key = 0; key < keys; key += 1) {
    for (const [shell, samples] of times) {
      samples.push(await shell.typeKey());
      await bench.clock.sleep(betweenKeysMs, { signal: bench.signal });
    }
  }
  const of = (shell: Shell, share: number): number => quantile(times.get(shell) ?? [], share);
  return [0.5, 0.99].map((share) => ({
    what: `echo of a key, p${share * 100}`,
    unit: 'ms' as const,
    samples: [of(mine, share)],
    peer: { what: place.direct.name, samples: [of(theirs, share)] },
    goal: of(theirs, share) + goalEchoMs,
  }));
}

async function runShells(bench: Bench): Promise<Measurement[]> {
  await using place = await openSshPlace(bench);
  const before = await pssMB(place.coordinatorPid);
  let memory = NaN;
  const mine = await typeAtOnce({ ...place.door, user: `${place.door.user}+new` }, place, bench, async () => {
    memory = (await pssMB(place.coordinatorPid)) - before;
  });
  const theirs = await typeAtOnce(place.direct, place, bench);
  const worst = (all: readonly number[][]): number => Math.max(...all.map((samples) => quantile(samples, 0.99)));
  const middle = (all: readonly number[][]): number => quantile(all.flat(), 0.5);
  const told = (what: string, of: typeof worst): Measurement => {
    const peer = { what: place.direct.name, samples: [of(theirs)] };
    return { what, unit: 'ms', samples: [of(mine)], goal: goalShellsMs, peer };
  };
  return [
    { what: `memory of ${manyShells} shells`, unit: 'MB', samples: [memory], goal: goalShellsMB },
    told('echo, worst p99 of a shell', worst),
    told('echo, p50 of all', middle),
  ];
}

/** How long each person waited for each key. They begin one after the other and do not wait for each other. */
async function typeAtOnce(way: Way, place: SshPlace, bench: Bench, whenOpen?: () => Promise<void>): Promise<number[][]> {
  const { clock, signal } = bench;
  await using stack = new AsyncDisposableStack();
  const open: Shell[] = [];
  const openSome = async (): Promise<void> => {
    for (let left = manyShells / openingAtOnce; left > 0; left -= 1) {
      open.push(stack.use(await openShell(way, place, bench)));
      bench.progress(`${way.name}: ${open.length} of ${manyShells} shells`);
    }
  };
  await Promise.all(Array.from({ length: openingAtOnce }, openSome));
  await whenOpen?.();
  bench.progress(`${way.name}: typing`);
  const startedAt = clock.monotonic();
  const type = async (shell: Shell, at: number): Promise<number[]> => {
    const samples: number[] = [];
    for (let key = 0; key < keysOfEach; key += 1) {
      const due = startedAt + (key + at / manyShells) * rhythmMs;
      await clock.sleep(Math.max(0, due - clock.monotonic()), { signal });
      samples.push(await shell.typeKey());
    }
    return samples;
  };
  return await Promise.all(open.map(type)); // else the shells are closed at once
}

interface Shell extends AsyncDisposable {
  /** Until it is shown, ms. */
  typeKey(): Promise<number>;
}

async function openShell({ user, port }: Way, { key }: SshPlace, { clock, signal }: Bench): Promise<Shell> {
  const client = new ssh2.Client();
  const ready = once(client, 'ready', { signal });
  client.connect({ host: '127.0.0.1', port, username: user, privateKey: key });
  await ready;
  client.setNoDelay(true);
  client.on('error', () => undefined);
  const { promise, resolve, reject } = Promise.withResolvers<ClientChannel>();
  client.shell({ term: 'dumb', cols: 80, rows: 24 }, (error, channel) => (error ? reject(error) : resolve(channel)));
  const channel = await promise;
  let shown = '';
  const told = createBell();
  const limit = anySignal(signal, clock.deadline(rowMs));
  channel.setEncoding('latin1').on('data', (piece: string) => {
    shown += piece;
    told.ring();
  });
  const until = async (text: string): Promise<void> => {
    while (!shown.includes(text)) await told.wait({ signal: limit });
    shown = '';
  };
  channel.write('exec sh -c \'echo rea""dy; exec cat > /dev/null\'\r'); // its terminal echoes, and nothing else is shown
  await until('ready');
  return {
    async typeKey() {
      shown = '';
      const startedAt = clock.monotonic();
      channel.write('x');
      await until('x');
      return clock.monotonic() - startedAt;
    },
    async [Symbol.asyncDispose]() {
      const closed = once(client, 'close');
      client.end();
      await closed;
    },
  };
}
