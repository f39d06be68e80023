/** Views made up for page tests: every state, hostile names where asked for. */
import type {
  AttemptView,
  BuildDetail,
  BuildSummary,
  CommitView,
  Farm,
  Grid,
  MachineList,
  MachineView,
  StepView,
} from '@croft/protocol/api';

export const testNow = Date.UTC(2026, 0, 15, 12);

/** What a careless page would run, or let spill over the rest of the line. */
export const hostile = `<script>window.hacked=1</script><img src=x onerror=window.hacked=1>"'&\u202e reversed \u0000\u001b[31m`;

const ends: readonly (BuildSummary['end'] | 'running' | 'queued' | 'cancelling')[] = [
  { kind: 'passed' },
  { kind: 'passed' },
  { kind: 'failed', step: 'test', text: 'exit status 1' },
  { kind: 'passed' },
  { kind: 'timed-out', step: 'test', text: 'ran longer than 20 min' },
  { kind: 'infra', cause: 'buildlet-died', evidence: 'the buildlet did not answer for 15 s; its process is gone' },
  { kind: 'cancelled', by: 'someone', why: 'superseded' },
  { kind: 'skipped', why: 'only documentation changed' },
];

export function testBuild(over: Partial<BuildSummary> = {}): BuildSummary {
  const id = over.id ?? 'B0123456789abcdef';
  return {
    id,
    builder: 'linux-amd64',
    repo: 'croft',
    revision: 'a1b2c3d4e5f60718293a4b5c6d7e8f9001122334',
    trigger: { kind: 'branch', ref: 'main' },
    band: 'post-submit',
    state: 'ended',
    end: { kind: 'passed' },
    attempts: 1,
    createdAt: testNow - 600_000,
    since: testNow - 300_000,
    startedAt: testNow - 400_000,
    endedAt: testNow - 300_000,
    url: `/builds/${id}`,
    ...over,
  };
}

export function testCommit(over: Partial<CommitView> = {}): CommitView {
  return {
    repo: 'croft',
    revision: 'a1b2c3d4e5f60718293a4b5c6d7e8f9001122334',
    subject: 'streams: count lines per block and pack tar.gz',
    authorName: 'Mona Lisa',
    authorEmail: 'someone@example.com',
    committedAt: testNow - 3_600_000,
    ...over,
  };
}

const subjects = [
  'scheduler: keep first come first served within a band',
  'web: refuse requests from foreign pages',
  'store: group commits and synchronise once',
  'docs: say what a lease is',
  'buildlet: drain the pipe while the spool is behind',
  'forge: follow a force push without losing the old commits of the branch, and tell so in the log of the find loop',
  'runtime: let a bell ring before anybody waits',
];

export interface TestGridOptions {
  readonly builders?: readonly string[];
  readonly rows?: number;
}

const someBuilders = ['checks', 'linux-amd64', 'linux-amd64-race', 'linux-arm64', 'darwin-arm64', 'windows-amd64'];

export function testGrid({ builders = someBuilders, rows = 30 }: TestGridOptions = {}): Grid {
  return {
    repo: 'croft',
    repos: ['croft', 'website'],
    branch: 'main',
    branches: ['main', 'release-1'],
    page: 0,
    older: true,
    builders: [...builders],
    rows: Array.from({ length: rows }, (_, row) => {
      const revision = (0xabcdef123 + row * 7_919_131).toString(16).padStart(10, '0').repeat(4);
      const commit = testCommit({
        revision,
        subject: subjects[row % subjects.length] ?? '',
        committedAt: testNow - row * 2_700_000 - 60_000,
        authorName: row % 3 === 0 ? 'Grace Hopper' : 'Mona Lisa',
      });
      return {
        commit,
        cells: builders.map((builder, column) =>
          row % 11 === 4 && column === builders.length - 1 ? null : gridCell({ row, column, builder, revision }),
        ),
      };
    }),
  };
}

function gridCell({ row, column, builder, revision }: { row: number; column: number; builder: string; revision: string }): BuildSummary {
  const id = `B${(row * 1000 + column).toString(16).padStart(16, '0')}`;
  const chosen =
    row === 0
      ? column < 2
        ? 'running'
        : 'queued'
      : row === 1 && column === 3
        ? 'cancelling'
        : row === 1 && column > 3
          ? 'running'
          : ends[(row * 5 + column * 3 + ((row * column) % 4)) % ends.length];
  const base = { id, builder, revision, attempts: row === 3 ? 2 : 1 };
  if (typeof chosen === 'object') {
    const tookMs = 40_000 + ((row * 37 + column * 91) % 60) * 9_000;
    const calm = row % 4 !== 0 && chosen.kind !== 'passed' && (row + column) % 3 !== 0;
    return testBuild({
      ...base,
      end: calm ? { kind: 'passed' } : chosen,
      startedAt: testNow - 1_000_000 - tookMs,
      endedAt: testNow - 1_000_000,
    });
  }
  const { end: _end, endedAt: _ended, startedAt: _started, ...open } = testBuild(base);
  if (chosen === 'queued')
    return {
      ...open,
      state: 'queued',
      attempts: 0,
      wait: { code: 'behind', text: '2 ahead; 1 of 1 machines busy', position: column, expectedAt: testNow + 90_000 },
    };
  return { ...open, state: chosen ?? 'running', since: testNow - 70_000, startedAt: testNow - 70_000, expectedEndAt: testNow + 40_000 };
}

export function testMachine(over: Partial<MachineView> = {}): MachineView {
  return {
    id: 'local-1',
    pool: 'local',
    hostType: 'linux-amd64',
    labels: ['linux', 'amd64'],
    state: 'busy',
    createdAt: testNow - 7_200_000,
    seenAt: testNow - 2_000,
    epoch: 41,
    freeBytes: 82_000_000_000,
    lease: { id: 'L00112233aabbccdd', holder: 'B0123456789abcdef.2', build: 'B0123456789abcdef', epoch: 41, acquiredAt: testNow - 70_000 },
    next: 'is given back when its build ends',
    ...over,
  };
}

const passed = ['free disk', 'disk', 'loopback', 'open files', 'file watches', 'clock'].map((name) => ({
  name,
  ok: true,
  found: 'as it should be',
}));

/** Of a machine that lacks something. */
function testSelfTest(): NonNullable<MachineView['selfTest']> {
  const found = 'not in PATH (/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)';
  return {
    at: testNow - 240_000,
    checks: [...passed, { name: 'tool git', ok: true, found: '/usr/bin/git' }, { name: 'tool go', ok: false, found }],
  };
}

export function testFarm(over: Partial<Farm> = {}): Farm {
  const { lease: _lease, ...idle } = testMachine({ id: 'local-2', state: 'ready', next: 'takes the next build that fits' });
  const { rows } = testGrid();
  const cells = rows.flatMap((row) => row.cells).filter((cell) => cell !== null);
  return {
    version: '0.1.0',
    startedAt: testNow - 9_000_000,
    troubles: [],
    config: { file: '/etc/croft/croft.config.ts', environment: 'production', loadedAt: testNow - 600_000, restart: [] },
    disk: { path: '/var/lib/croft', freeBytes: 82_000_000_000, lowWaterBytes: 2_147_483_648, ok: true },
    machines: [
      testMachine({ selfTest: { at: testNow - 7_000_000, checks: passed } }),
      {
        ...idle,
        selfTest: testSelfTest(),
        held: 'did not pass its self-test (tool go)',
        next: 'takes no work: it did not pass its self-test (tool go)',
      },
      {
        ...idle,
        id: 'mac-mini-7',
        pool: 'reverse',
        hostType: 'darwin-arm64',
        labels: ['darwin', 'arm64', 'xcode-17'],
        state: 'away',
        seenAt: testNow - 7_000_000,
        next: 'is forgotten in 22 h unless it dials in again',
        evidence: 'connection reset by peer',
      },
      testDialledIn(idle),
    ],
    machineCounts: { ready: 2, busy: 1, away: 1 },
    dialIn: [
      {
        pool: 'reverse',
        hostType: 'darwin-arm64',
        expect: 4,
        connected: 1,
        missing: [{ host: 'mac-mini-2.rack.example.com', seenAt: testNow - 86_400_000, why: 'its line ended: it was silent for 15 s' }],
      },
    ],
    running: cells.filter((cell) => cell.state === 'running').slice(0, 3),
    queue: cells.filter((cell) => cell.state === 'queued'),
    runningLength: 3,
    queueLength: 217,
    repos: [
      { name: 'croft', url: '/home/someone/croft', defaultBranch: 'main', lastFetchAt: testNow - 12_000 },
      {
        name: 'website',
        url: 'https://git.example.com/team/website.git',
        lastFetchAt: testNow - 900_000,
        error: 'fetch: could not read from remote repository: connection timed out',
      },
    ],
    ...over,
  };
}

/** All there are, on one page. */
export function testMachineList(machines: MachineView[]): MachineList {
  const count = (state: MachineView['state']): number => machines.filter((machine) => machine.state === state).length;
  return { machines, found: machines.length, counts: { ready: count('ready'), busy: count('busy'), away: count('away') } };
}

/** One that dials in, is contested and was taken out of work. */
function testDialledIn(machine: MachineView): MachineView {
  return {
    ...machine,
    id: 'reverse-mac-mini-3',
    pool: 'reverse',
    hostType: 'darwin-arm64',
    version: 29,
    line: { host: 'mac-mini-3.rack.example.com', from: '2001:db8::17', since: testNow - 7_200_000 },
    drained: true,
    note: 'another machine of this name was refused at 2026-03-01T12:00:00.000Z, from 10.0.0.9',
    next: 'was taken out of work by ada (T0123456789ab): its fan is loud',
  };
}

export function testStep(over: Partial<StepView> = {}): StepView {
  return {
    name: 'test',
    role: 'run-tests',
    argv: ['npm', 'test'],
    state: 'ended',
    startedAt: testNow - 370_000,
    endedAt: testNow - 300_000,
    logFrom: 4096,
    logTo: 262_144,
    exit: { kind: 'exited', code: 0 },
    ...over,
  };
}

export function testAttempt(over: Partial<AttemptView> = {}): AttemptView {
  const number = over.number ?? 1;
  return {
    number,
    state: 'ended',
    startedAt: testNow - 400_000,
    endedAt: testNow - 300_000,
    end: { kind: 'passed' },
    machine: 'local-1',
    reason: 'package.json has a test script',
    configHash: '9f86d081884c7d65',
    steps: [
      testStep({
        name: 'install',
        role: 'setup',
        argv: ['npm', 'ci', '--prefer-offline', '--no-audit'],
        startedAt: testNow - 398_000,
        endedAt: testNow - 371_000,
        logFrom: 0,
        logTo: 4096,
      }),
      testStep(),
    ],
    log: { state: 'complete', bytes: 262_144, lines: 4096, url: `/builds/B0123456789abcdef/attempts/${number}/log` },
    ...over,
  };
}

export function testDetail(over: Partial<BuildDetail> = {}): BuildDetail {
  return { ...testBuild(), commit: testCommit(), attemptList: [testAttempt()], ...over };
}
