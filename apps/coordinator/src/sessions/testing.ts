/** Sessions for tests of those who use them: each gets a machine at once, and what a machine is the test may say. */
import { createFakeMachine } from '@croft/buildlet/fake';
import { createBuildlet, type Buildlet } from '@croft/buildlet/client';
import type { SessionView } from '@croft/protocol/sessions';
import { HOUR, MINUTE, systemClock, type Waits } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { systemRandom } from '@croft/runtime/random';
import { createBell } from '@croft/runtime/tasks';
import { hasRole } from '@croft/web/identity';
import type { Entered, Person, SessionGround, Sessions } from './sessions.ts';

export interface FakeSessions extends Sessions {
  /** By id; change one with `put`. */
  readonly all: ReadonlyMap<string, SessionView>;
  /** How often each was entered, by id. */
  readonly entered: ReadonlyMap<string, number>;
  put(session: SessionView): void;
}

export interface FakeSessionsOptions {
  /** What each session enters; without, a machine in memory that has files and no runs. */
  readonly buildlet?: Buildlet;
  readonly ground?: Partial<SessionGround>;
  readonly epoch?: number;
}

const startedAt = Date.UTC(2026, 10, 29, 9);

export function fakeSessions({ buildlet = fakeBuildlet(), ground = {}, epoch = 1 }: FakeSessionsOptions = {}): FakeSessions {
  const book = createBook();
  const { all, find, used, put, create } = book;
  const entered = new Map<string, number>();
  const enter = async (who: Person, name: string): Promise<Entered> => {
    const session = used(who, name);
    if (session.state !== 'active') throw new CroftError('conflict', `session ${session.alias} is ${session.state}`);
    entered.set(session.id, (entered.get(session.id) ?? 0) + 1);
    const workDir = await buildlet.workDir({});
    const usual: SessionGround = { workDir, dir: 'app', env: { CI: 'true' }, path: [], speaks: 'croft' };
    return { session, buildlet, epoch, ground: { ...usual, ...ground }, ended: book.ended(session.id), [Symbol.dispose]() {} };
  };
  return {
    all,
    entered,
    put,
    create: async (who, { builder, note = '' }) => create(who, { builder, note }),
    async list(who, { mine = false, ended = false } = {}) {
      return [...all.values()].filter((session) => (!mine || isFor(who, session)) && (session.state === 'ended') === ended);
    },
    get: async (_who, name) => find(name),
    follow: (_who, name, waits) => followOne(book, find(name).id, waits),
    extend: async (who, name, forMs) => put({ ...used(who, name), expiresAt: startedAt + forMs }),
    share: async (who, name, others) => put({ ...used(who, name), sharedWith: [...others] }),
    note: async (who, name, note) => put({ ...used(who, name), note }),
    end: async (who, name, why) => endOne(book, hasRole(who, 'operator') ? find(name) : used(who, name), `${who.name}: ${why}`),
    enter,
    builds: {
      hold: async (who, build, { note = '' }) => create(who, { builder: 'linux', note, from: { kind: 'held', build, attempt: 1 } }),
      unhold: async (who, build, why) => endOne(book, find(`build-${build}`), `${who.name}: ${why}`),
      repro: async (who, build, { note = '' }) => create(who, { builder: 'linux', note, from: { kind: 'repro', build, attempt: 1 } }),
      async enter(who, build) {
        const one = await enter(who, `build-${build}`);
        return { ...one, runs: `${one.session.id}.` };
      },
    },
  };
}

interface Book {
  readonly all: Map<string, SessionView>;
  readonly changed: Set<() => void>;
  put(session: SessionView): SessionView;
  /** @throws CroftError `not-found` */
  find(name: string): SessionView;
  /** @throws CroftError `forbidden` */
  used(who: Person, name: string): SessionView;
  create(who: Person, over: Partial<SessionView> & { readonly builder: string }): SessionView;
  ended(id: string): AbortSignal;
}

function createBook(): Book {
  const all = new Map<string, SessionView>();
  const endings = new Map<string, AbortController>();
  const changed = new Set<() => void>();
  const endingOf = (id: string): AbortController => {
    const ending = endings.get(id) ?? new AbortController();
    endings.set(id, ending);
    return ending;
  };
  const put = (session: SessionView): SessionView => {
    all.set(session.id, session);
    if (isOver(session)) endingOf(session.id).abort(new CroftError('conflict', session.endReason ?? 'it has ended'));
    for (const ring of changed) ring();
    return session;
  };
  const find = (name: string): SessionView => {
    const alias = name.replace(/^(?:mutable-)?(?:user-)?/, '');
    const isNamed = ({ id, alias: own, from }: SessionView): boolean =>
      id === name || own === alias || (from.kind === 'held' && `build-${from.build}` === name);
    const session = [...all.values()].findLast((one) => isNamed(one) && (one.id === name || one.state !== 'ended'));
    if (!session) throw new CroftError('not-found', `there is no session "${name}"`);
    return session;
  };
  return {
    all,
    changed,
    put,
    find,
    used(who, name) {
      const session = find(name);
      if (isFor(who, session)) return session;
      throw new CroftError('forbidden', `session ${session.alias} is ${session.owner}'s`);
    },
    create(who, over) {
      const taken = new Set([...all.values()].filter(({ state }) => state !== 'ended').map(({ alias }) => alias));
      const aliases = Array.from({ length: taken.size + 1 }, (_, n) => `${who.name}-${over.builder}-${n}`);
      const alias = aliases.find((name) => !taken.has(name)) ?? '';
      return put(fakeSession({ id: `S${systemRandom.hex(8)}`, alias, owner: who.name, ...over }));
    },
    ended: (id) => endingOf(id).signal,
  };
}

function isFor({ name }: Person, { owner, sharedWith }: SessionView): boolean {
  return owner === name || sharedWith.includes(name);
}

function isOver({ state }: SessionView): boolean {
  return state === 'ending' || state === 'ended';
}

function endOne({ put }: Book, session: SessionView, endReason: string): SessionView {
  return isOver(session) ? session : put({ ...session, state: 'ended', endedAt: startedAt + MINUTE, endReason });
}

async function* followOne({ find, changed }: Book, id: string, waits: Waits): AsyncGenerator<SessionView> {
  const bell = createBell();
  changed.add(bell.ring);
  try {
    for (;;) {
      const session = find(id);
      yield session;
      if (session.state === 'active' || session.state === 'ended') return;
      await bell.wait(waits);
    }
  } finally {
    changed.delete(bell.ring);
  }
}

export function fakeSession(over: Partial<SessionView> = {}): SessionView {
  const id = over.id ?? 'S00000000000000a1';
  return {
    id,
    alias: 'ann-linux-0',
    owner: 'ann',
    builder: 'linux',
    hostType: 'local',
    from: { kind: 'asked' },
    state: 'active',
    note: '',
    sharedWith: [],
    machine: 'local-1',
    createdAt: startedAt,
    startedAt,
    usedAt: startedAt,
    expiresAt: startedAt + 30 * MINUTE,
    latestAt: startedAt + 24 * HOUR,
    url: `/sessions/${id}`,
    ...over,
  };
}

function fakeBuildlet(): Buildlet {
  return createBuildlet(createFakeMachine({ clock: systemClock }).address, { clock: systemClock });
}
