/**
 * Whether this machine can do its work: looked at when it starts, when its coordinator asks, and rarely after that. Cheap, and each part within
 * a limit: a disk that hangs is a finding. @see docs/protocols/buildlet.md#post-selftest
 */
import { constants } from 'node:fs';
import { access, open, readFile, rm, stat } from 'node:fs/promises';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { delimiter, join } from 'node:path';
import { clockCheck, selfTestRequestSchema, toolCheck, type SelfTest, type SelfTestRequest } from '@croft/protocol/self-test';
import { HOUR, MINUTE, SECOND, type Clock } from '@croft/runtime/clock';
import { CroftError, errorText } from '@croft/runtime/errors';
import type { TaskGroup } from '@croft/runtime/tasks';
import { json, type Answer } from '../http/answer.ts';
import { readJson } from '../http/body.ts';
import type { Call, Route } from '../http/router.ts';
import type { Runs } from '../runs/runs.ts';
import type { Disk } from '../state/disk.ts';

export interface SelfTester {
  readonly result: SelfTest;
  /** One after the other. */
  test(asked: SelfTestRequest): Promise<SelfTest>;
}

export interface SelfTesterDeps {
  /** Written to; tested once for each disk. */
  readonly dirs: readonly string[];
  /** Where commands look for programs. */
  readonly path: string;
  readonly disk: Pick<Disk, 'check'>;
  /** While any of them goes on nothing is measured unasked: it would be what they leave. */
  readonly runs: Pick<Runs, 'list'>;
  readonly tasks: TaskGroup;
  readonly clock: Clock;
  onResult(): void;
}

type Check = SelfTest['checks'][number];
type Look = () => Promise<{ readonly ok: boolean; readonly found: string }>;

const lookMs = 10 * SECOND;
const againMs = 6 * HOUR;
const busyMs = 10 * MINUTE;
/** What was found about the machine itself is not looked for again so soon. */
const freshMs = 10 * MINUTE;
const longestFound = 500;

export function selfTestRoutes(tester: SelfTester): Record<string, Route> {
  const handle = async ({ method, request }: Call): Promise<Answer> => {
    if (method !== 'POST') throw new CroftError('invalid', 'a self-test is asked for with POST');
    return json(await tester.test(await readJson(request, selfTestRequestSchema, 'test the machine')));
  };
  return { '/selftest': { style: 'json', handle } };
}

/** The first one begins at once, in the background. */
export function createSelfTester(deps: SelfTesterDeps): SelfTester {
  const { clock, tasks, runs } = deps;
  let result: SelfTest = { at: 0, checks: [] };
  let lastAsked: SelfTestRequest = { tools: [] };
  let machineChecks: readonly Check[] = [];
  let lookedAt = -Infinity;
  let turn: Promise<unknown> = Promise.resolve();

  const testOnce = async (asked: SelfTestRequest): Promise<SelfTest> => {
    lastAsked = { tools: asked.tools };
    if (clock.monotonic() - lookedAt > freshMs || !machineChecks.every(({ ok }) => ok)) {
      machineChecks = await Promise.all(machineLooks(deps).map((look) => check(look, clock)));
      lookedAt = clock.monotonic();
    }
    const checks = [...machineChecks, ...(await Promise.all(askedLooks(asked, deps).map((look) => check(look, clock))))];
    result = { at: clock.now(), checks: keepClock(checks, result) };
    deps.onResult();
    return result;
  };
  const test = (asked: SelfTestRequest): Promise<SelfTest> => {
    const mine = turn.then(() => testOnce(asked));
    turn = mine.catch(() => {});
    return mine;
  };
  tasks.start('self-test', async ({ signal }) => {
    for (;;) {
      const isBusy = runs.list().some((run) => !run.hasEnded);
      if (!isBusy || result.at === 0) await test(lastAsked);
      await clock.sleep(isBusy ? busyMs : againMs, { signal });
    }
  });
  return {
    get result() {
      return result;
    },
    test,
  };
}

/** Only a coordinator brings the time with it: what was found then stands until the next one does. */
function keepClock(checks: readonly Check[], before: SelfTest): Check[] {
  const known = before.checks.find(({ name }) => name === clockCheck);
  return known && !checks.some(({ name }) => name === clockCheck) ? [...checks, known] : [...checks];
}

async function check([name, look]: readonly [string, Look], clock: Clock): Promise<Check> {
  const limit = new AbortController();
  const late = clock.sleep(lookMs, { signal: limit.signal }).then(() => ({ ok: false, found: `took longer than ${lookMs / SECOND} s` }));
  late.catch(() => {});
  const { ok, found } = await Promise.race([look(), late]).catch((error: unknown) => ({ ok: false, found: errorText(error) }));
  limit.abort();
  return { name, ok, found: found.slice(0, longestFound) };
}

type Looks = readonly (readonly [string, Look])[];

function machineLooks({ dirs, disk, clock }: SelfTesterDeps): Looks {
  const linux: Looks = [
    ['open files', lookAtOpenFiles],
    ['file watches', lookAtWatches],
  ];
  return [
    ['free disk', () => lookAtSpace(disk)],
    ['disk', () => lookAtDisks(dirs, clock)],
    ['loopback', lookAtLoopback],
    ...(process.platform === 'linux' ? linux : []),
  ];
}

function askedLooks({ tools, now }: SelfTestRequest, { path, clock }: SelfTesterDeps): Looks {
  const dirs = path.split(delimiter).filter(Boolean);
  const clocks: Looks = now === undefined ? [] : [[clockCheck, async () => compareClocks(clock.now() - now)]];
  return [...clocks, ...tools.map((tool) => [toolCheck(tool), () => findTool(tool, dirs)] as const)];
}

const mostSkewMs = 60 * SECOND;

function compareClocks(aheadMs: number): { ok: boolean; found: string } {
  const found = `${(Math.abs(aheadMs) / SECOND).toFixed(1)} s ${aheadMs < 0 ? 'behind' : 'ahead of'} the coordinator`;
  return { ok: Math.abs(aheadMs) <= mostSkewMs, found };
}

async function findTool(tool: string, dirs: readonly string[]): Promise<{ ok: boolean; found: string }> {
  const suffixes = process.platform === 'win32' ? ['.exe', '.cmd', '.bat'] : [''];
  for (const file of dirs.flatMap((dir) => suffixes.map((suffix) => join(dir, `${tool}${suffix}`)))) {
    const isFile = await stat(file).then(
      (found) => found.isFile(),
      () => false,
    );
    const runs =
      isFile &&
      (await access(file, constants.X_OK).then(
        () => true,
        () => false,
      ));
    if (runs) return { ok: true, found: file };
  }
  return { ok: false, found: `not in PATH (${dirs.join(delimiter)})` };
}

const GB = 1_000_000_000;

async function lookAtSpace(disk: Pick<Disk, 'check'>): Promise<{ ok: boolean; found: string }> {
  const { freeBytes, low } = await disk.check();
  return { ok: !low, found: `${(freeBytes / GB).toFixed(1)} GB` };
}

const probeBytes = 2 * 1024 * 1024;
const slowMs = 5 * SECOND;

/** Written, made safe and read back. */
async function lookAtDisks(dirs: readonly string[], clock: Clock): Promise<{ ok: boolean; found: string }> {
  const places = await Promise.all(dirs.map(async (dir) => ({ dir, disk: (await stat(dir)).dev })));
  const each = places.filter(({ disk }, index) => places.findIndex((other) => other.disk === disk) === index);
  const times: number[] = [];
  for (const { dir } of each) times.push(await probeDisk(join(dir, '.self-test'), clock));
  const ms = Math.max(...times);
  return { ok: ms < slowMs, found: `2 MiB written, made safe and read in ${Math.round(ms)} ms` };
}

async function probeDisk(path: string, clock: Clock): Promise<number> {
  const from = clock.monotonic();
  const bytes = Buffer.alloc(probeBytes, 'croft ');
  try {
    await using file = await open(path, 'w+', 0o600);
    await file.write(bytes);
    await file.sync();
    const { buffer } = await file.read(Buffer.alloc(probeBytes), 0, probeBytes, 0);
    if (!buffer.equals(bytes)) throw new CroftError('internal', `${path} does not hold what was written`);
  } finally {
    await rm(path, { force: true });
  }
  return clock.monotonic() - from;
}

async function lookAtLoopback(): Promise<{ ok: boolean; found: string }> {
  const server = createServer((socket) => socket.on('error', () => {}).end('here')).listen(0, '127.0.0.1');
  try {
    await once(server, 'listening');
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    const [bytes] = (await once(socket, 'data')) as [Buffer];
    socket.destroy();
    return { ok: bytes.toString() === 'here', found: 'answers' };
  } finally {
    server.close();
  }
}

const leastOpenFiles = 1024;

async function lookAtOpenFiles(): Promise<{ ok: boolean; found: string }> {
  const [, most = ''] = /^Max open files +(\S+)/m.exec(await readFile('/proc/self/limits', 'latin1')) ?? [];
  return { ok: most === 'unlimited' || Number(most) >= leastOpenFiles, found: `${most} a process` };
}

const least = { watches: 8_192, instances: 64 };

async function lookAtWatches(): Promise<{ ok: boolean; found: string }> {
  const read = async (name: string): Promise<number> => Number(await readFile(`/proc/sys/fs/inotify/max_user_${name}`, 'latin1'));
  const [watches, instances] = [await read('watches'), await read('instances')];
  return { ok: watches >= least.watches && instances >= least.instances, found: `${watches} watches in ${instances} instances a user` };
}
