/** A farm made up for page tests, which tests change and then tell of, and logs as long as wanted, made while they are read. */
import type { ArtifactView, CacheUseView } from '@croft/protocol/artifacts';
import type { BuildDetail, Change, Farm, Grid } from '@croft/protocol/api';
import { sha256Hex } from '@croft/runtime/digest';
import { CroftError } from '@croft/runtime/errors';
import type { Waits } from '@croft/runtime/clock';
import { createBell } from '@croft/runtime/tasks';
import type { Audit } from '../auth/audit.ts';
import type { Capabilities, LogReader } from '../capabilities.ts';
import { fakeBrowse, type FakeBrowse } from '../browse/testing.ts';
import { fakeOriginals, type FakeOriginals } from '../originals/testing.ts';
import { fakeSessions, type FakeSessions } from '../sessions/testing.ts';
import { fakeBorrowing, type FakeBorrowing } from './testing-borrowing.ts';
import { testFarm, testGrid, testMachineList, testNow } from './testing-views.ts';
import { testConfiguration } from './testing-config.ts';

/** Lines of 64 bytes that name themselves; a gigabyte costs nothing until it is read. */
export function syntheticLog(lines: number): LogReader {
  const width = 64;
  const length = lines * width;
  const line = (at: number): string => {
    const text = at % 1000 === 999 ? `error: line ${at + 1} is not as it should be` : `\u001b[32mok\u001b[0m ${at + 1} the quick brown fox`;
    return `${text.padEnd(width - 1, '.')}\n`;
  };
  async function* read({ from, to = length }: { from: number; to?: number }): AsyncGenerator<Buffer> {
    for (let at = from; at < to;) {
      const first = Math.floor(at / width);
      const last = Math.min(Math.ceil(to / width), first + 1024);
      const chunk = Buffer.from(Array.from({ length: last - first }, (_, index) => line(first + index)).join(''));
      yield chunk.subarray(at - first * width, Math.min(chunk.length, to - first * width));
      at = last * width;
    }
  }
  return { length, live: false, read, follow: (from) => read({ from }), offsetOfLine: async (at) => Math.min(length, at * width) };
}

export interface GrowingLog extends LogReader {
  write(text: string): void;
  end(): void;
}

export function growingLog(start = ''): GrowingLog {
  let bytes = Buffer.from(start);
  let live = true;
  const bells = new Set<ReturnType<typeof createBell>>();
  const ring = (): void => bells.forEach((bell) => bell.ring());
  return {
    get length() {
      return bytes.length;
    },
    get live() {
      return live;
    },
    async *read({ from, to = bytes.length }) {
      yield bytes.subarray(from, to);
    },
    async *follow(from, waits: Waits) {
      const bell = createBell();
      bells.add(bell);
      try {
        for (let at = from; ; await bell.wait(waits)) {
          if (at < bytes.length) yield bytes.subarray(at);
          at = bytes.length;
          if (!live) return;
        }
      } finally {
        bells.delete(bell);
      }
    },
    async offsetOfLine(line) {
      let at = 0;
      for (let left = line; left > 0; left -= 1) {
        const end = bytes.indexOf(10, at);
        if (end < 0) return bytes.length;
        at = end + 1;
      }
      return at;
    },
    write(text) {
      bytes = Buffer.concat([bytes, Buffer.from(text)]);
      ring();
    },
    end() {
      live = false;
      ring();
    },
  };
}

type AuditEntry = Awaited<ReturnType<Audit['list']>>['entries'][number];

export interface FakeFarm extends Omit<Capabilities, keyof FakeOriginals | 'browse' | 'sessions'>, FakeOriginals {
  readonly browse: FakeBrowse;
  readonly sessions: FakeSessions;
  /** What the pages are told; tests change it and then say so. */
  readonly state: {
    grid: Grid;
    farm: Farm;
    builds: Map<string, BuildDetail>;
    logs: Map<string, LogReader>;
    artifacts: ArtifactView[];
    caches: CacheUseView[];
    /** By `BUILD/ATTEMPT/ARTIFACT/PATH`. */
    files: Map<string, Buffer>;
  };
  readonly asked: string[];
  /** What the pages of sessions and of the account are told. */
  readonly borrowing: FakeBorrowing;
  /** What the audit trail says. */
  readonly audit: AuditEntry[];
  tell(change: Change): void;
}

export function fakeFarm(): FakeFarm {
  const listeners = new Set<(change: Change) => void>();
  const state = emptyState();
  const asked: string[] = [];
  const must = (id: string): BuildDetail => {
    const build = state.builds.get(id);
    if (!build) throw new CroftError('not-found', `there is no build ${id}`);
    return build;
  };
  const move = (id: string, over: Partial<BuildDetail>): BuildDetail => {
    const build = { ...must(id), ...over };
    state.builds.set(id, build);
    return build;
  };
  return {
    state,
    asked,
    borrowing: fakeBorrowing(),
    audit: [],
    tell: (change) => listeners.forEach((listener) => listener(change)),
    grid: async ({ repo, branch, page }) => ({ ...state.grid, page, ...(repo ? { repo } : {}), ...(branch ? { branch } : {}) }),
    ...machinesIn(state),
    configuration: async () => testConfiguration(),
    build: async (id) => state.builds.get(id),
    builds: async () => ({ builds: [...state.builds.values()] }),
    async log(id, attempt) {
      const log = state.logs.get(`${id}.${attempt}`);
      if (!log) throw new CroftError('not-found', 'there is no such log');
      return log;
    },
    logByHash: async () => undefined,
    ...fakeArtifacts(state, must),
    async cancel(id, by, why) {
      asked.push(`cancel ${id} ${by}: ${why}`);
      if (must(id).state === 'ended') throw new CroftError('conflict', 'it has ended');
      return move(id, { state: 'cancelling' });
    },
    async retry(id, by) {
      asked.push(`retry ${id} ${by}`);
      if (must(id).state !== 'ended') throw new CroftError('conflict', 'it has not ended');
      const { end: _end, ...rest } = must(id);
      state.builds.set(id, {
        ...rest,
        state: 'queued',
        since: testNow,
        wait: { code: 'machines-busy', text: 'next; 1 of 1 machines busy', position: 0, expectedAt: testNow + 60_000 },
      });
      return must(id);
    },
    notify: async () => ({ queued: [] }),
    wake: (repo, branches) => void asked.push(`wake ${repo} ${branches.join(' ')}`.trim()),
    changes: (waits) => follow(listeners, waits),
    machines: fakeCare(asked),
    browse: fakeBrowse(),
    sessions: fakeSessions(),
    ...fakeOriginals(),
    ready: async () => ({ ready: true, reasons: [] }),
  };
}

function fakeCare(asked: string[]): Capabilities['machines'] {
  return {
    async drain(id, by, why) {
      asked.push(`drain ${id} ${by}: ${why}`);
      return { id, drained: { by, why, at: testNow } };
    },
    async undrain(id) {
      asked.push(`undrain ${id}`);
      return { id };
    },
    async lose(id, { by, why }) {
      asked.push(`lose ${id} ${by}: ${why}`);
      return { id };
    },
  };
}

function emptyState(): FakeFarm['state'] {
  return {
    grid: testGrid(),
    farm: testFarm(),
    builds: new Map(),
    logs: new Map(),
    artifacts: [],
    caches: [],
    files: new Map(),
  };
}

function fakeArtifacts(
  state: FakeFarm['state'],
  must: (id: string) => BuildDetail,
): Pick<Capabilities, 'artifacts' | 'cacheUses' | 'artifactFile'> {
  return {
    artifacts: async (id, { attempt }) => (
      must(id),
      state.artifacts.filter((artifact) => artifact.attempt === (attempt ?? artifact.attempt))
    ),
    cacheUses: async (_, { attempt }) => state.caches.filter((use) => use.attempt === (attempt ?? use.attempt)),
    async artifactFile(id, { attempt, artifact, path }) {
      const content = state.files.get(`${id}/${attempt}/${artifact}/${path}`);
      if (!content) throw new CroftError('not-found', 'there is no such file');
      return { bytes: content.length, sha256: sha256Hex(content), read: ({ from, to }) => onePiece(content.subarray(from, to)) };
    },
  };
}

async function* onePiece(piece: Buffer): AsyncGenerator<Buffer> {
  yield piece;
}

async function* follow(listeners: Set<(change: Change) => void>, waits: Waits): AsyncGenerator<Change> {
  const queue: Change[] = [];
  const bell = createBell();
  const listener = (change: Change): void => {
    queue.push(change);
    bell.ring();
  };
  listeners.add(listener);
  try {
    for (;;) {
      await bell.wait(waits);
      yield* queue.splice(0);
    }
  } finally {
    listeners.delete(listener);
  }
}

function machinesIn(state: FakeFarm['state']): Pick<Capabilities, 'farm' | 'machineList' | 'machineKinds'> {
  return {
    farm: async () => state.farm,
    async machineList({ find = '', state: wanted, skip = 0, limit }) {
      const like = state.farm.machines.filter(({ id, state: stands }) => id.includes(find) && (wanted ?? stands) === stands);
      return { ...testMachineList(state.farm.machines), machines: like.slice(skip, skip + limit), found: like.length };
    },
    machineKinds: async () =>
      state.farm.machines.map(({ labels, state: stands }) => ({ labels, all: 1, free: stands === 'ready' ? 1 : 0 })),
  };
}
