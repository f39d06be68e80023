/** Runs, keys and a door of SSH that are made up, and sessions in each state, for the pages of borrowed machines. */
import type { SessionView } from '@croft/protocol/sessions';
import type { SshDoor, SshKeyView } from '@croft/protocol/ssh';
import { HOUR, MINUTE } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import type { SessionRun } from '../sessions/shells.ts';
import { fakeSession } from '../sessions/testing.ts';
import type { PagesDeps } from './routes.ts';
import { testNow } from './testing-views.ts';

export interface FakeBorrowing extends Pick<PagesDeps, 'people' | 'door'> {
  shells: PagesDeps['shells'];
  runs: SessionRun[];
  keys: SshKeyView[];
}

export function fakeBorrowing(): FakeBorrowing {
  const borrowing: FakeBorrowing = {
    runs: [],
    keys: [],
    door: testDoor,
    shells: { runs: async () => borrowing.runs },
    people: {
      keysOf: async () => [...borrowing.keys],
      async add(_person, { key, name }) {
        const [type = '', , comment = ''] = key.split(' ');
        if (!/^(ssh|ecdsa)-/.test(type)) throw new CroftError('invalid', 'this is no public key');
        const same = borrowing.keys.find((one) => one.type === type);
        if (same) return same;
        const added = testKey({ id: `H${borrowing.keys.length}`, type, name: name || comment });
        borrowing.keys.unshift(added);
        return added;
      },
      async remove(_person, id) {
        const found = borrowing.keys.find((key) => key.id === id);
        if (!found) throw new CroftError('not-found', 'you have no such key');
        borrowing.keys = borrowing.keys.filter((key) => key !== found);
        return found;
      },
    },
  };
  return borrowing;
}

export function testKey(over: Partial<SshKeyView> = {}): SshKeyView {
  const fingerprint = 'SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU';
  return { id: 'H0', name: 'laptop', type: 'ssh-ed25519', fingerprint, addedAt: testNow - 5 * HOUR, ...over };
}

const testDoor: SshDoor = {
  host: 'farm.example',
  port: 2222,
  hostKeys: [{ key: 'ssh-ed25519 AAAA', fingerprint: 'SHA256:XrjlJqT8Oo3Kb2mYV0yZ4cNf6q1wTnQ9RrjVtA0s7hE' }],
  authority: 'ssh-ed25519 AAAA',
  knownHosts: '[farm.example]:2222 ssh-ed25519 AAAA\n',
};

/** Of somebody, one in each state. */
export function testSessions(owner: string, words = ''): SessionView[] {
  const at = {
    createdAt: testNow - 2 * HOUR,
    startedAt: testNow - 2 * HOUR,
    usedAt: testNow - MINUTE,
    expiresAt: testNow + 29 * MINUTE,
    latestAt: testNow + 22 * HOUR,
  };
  const one = (number: number, over: Partial<SessionView>): SessionView =>
    fakeSession({
      id: `S000000000000000${number}`,
      alias: `${owner}-linux-amd64-${number}`,
      owner,
      builder: 'linux-amd64',
      note: words,
      ...at,
      ...over,
    });
  const {
    startedAt: _,
    usedAt: _used,
    expiresAt: _expires,
    latestAt: _latest,
    machine: _machine,
    ...waiting
  } = one(1, {
    state: 'waiting',
    wait: { code: 'machines-busy', text: `next; 2 of 2 machines busy ${words}`, position: 0, expectedAt: testNow + 4 * MINUTE },
  });
  return [
    one(0, { ssh: `ssh -p 2222 ${owner}-linux-amd64-0@farm.example`, sharedWith: ['ann', `bob ${words}`], strangers: [`bob ${words}`] }),
    waiting,
    one(2, { state: 'preparing', from: { kind: 'repro', build: 'B0123456789abcdef', attempt: 2 } }),
    one(3, { state: 'active', owner: 'carl', from: { kind: 'held', build: 'B0123456789abcdef', attempt: 2 } }),
    one(4, { state: 'ending', endReason: `not used for 30 min ${words}` }),
    one(5, { state: 'ended', endedAt: testNow - HOUR, endReason: `${owner}: done` }),
  ];
}

export function testRuns(): SessionRun[] {
  const startedAt = testNow - 9 * MINUTE;
  const output = { length: 81_920, from: 0 };
  const run = (name: string): { id: string; startedAt: number; output: typeof output } => ({
    id: `S0000000000000000.${name}`,
    startedAt,
    output,
  });
  return [
    { name: 'sh-0a1b2c3d4e5f6071', run: { ...run('sh-0a1b2c3d4e5f6071'), state: 'running' }, attached: 1 },
    { name: 'r-7', run: { ...run('r-7'), state: 'ended', endedAt: testNow - MINUTE, exit: { kind: 'exited', code: 2 } }, attached: 0 },
    {
      name: 'x-8',
      run: { ...run('x-8'), state: 'ended', endedAt: testNow - MINUTE, exit: { kind: 'signalled', signal: 'SIGSEGV' } },
      attached: 0,
    },
  ];
}
