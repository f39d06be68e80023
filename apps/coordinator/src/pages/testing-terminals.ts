/** The pages of borrowed machines over real HTTP, with a real buildlet behind one session: its terminal, runs and files are real. */
import { createBuildlet } from '@croft/buildlet/client';
import { startTestBuildlet, type TestBuildlet } from '@croft/buildlet/testing';
import { systemClock } from '@croft/runtime/clock';
import { silentLog } from '@croft/runtime/log';
import { systemRandom } from '@croft/runtime/random';
import { serve, type Listener } from '@croft/web/listener';
import { createMachineProxy } from '../gomote/machine-proxy.ts';
import { createShells } from '../sessions/shells.ts';
import { withPlainShells } from '../sessions/testing-shells.ts';
import { fakeSessions } from '../sessions/testing.ts';
import { createUploadDoor } from '../sessions/upload-door.ts';
import { createTerminalDoor } from '../terminal/terminal-door.ts';
import { failurePage } from './sign-in-page.ts';
import { testApp } from './testing-server.ts';
import { fakeFarm, type FakeFarm } from './testing.ts';

export interface TerminalStage extends AsyncDisposable {
  readonly farm: FakeFarm;
  readonly machine: TestBuildlet;
  readonly url: string;
  /** Ends the server and its connections, and begins another at the same address, which knows nothing of who was attached. */
  restart(): Promise<void>;
}

const someone = { name: 'someone', role: 'admin', repos: [], via: 'local' } as const;

export async function openTerminalStage(): Promise<TerminalStage> {
  await using stack = new AsyncDisposableStack();
  const machine = stack.use(await startTestBuildlet());
  const buildlet = withPlainShells(stack.use(createBuildlet(machine.address, { clock: systemClock })));
  const sessions = fakeSessions({ buildlet, ground: { dir: '.', env: { PS1: '$ ' } } });
  const farm: FakeFarm = { ...fakeFarm(), sessions };
  const audit = { asked: async () => undefined, refused: async () => undefined };
  const base = { clock: systemClock, random: systemRandom, log: silentLog, audit, sessions, behindProxy: false, publicNames: [] };
  const open = (port: number): Promise<Listener> => {
    const shells = createShells(base);
    farm.borrowing.shells = shells;
    const app = testApp(farm);
    const auth = { identify: async () => someone, audit: { ...audit, list: async () => ({ entries: [] }) } };
    const raw = [
      createTerminalDoor({ ...base, auth, shells }),
      createMachineProxy({ ...base, identify: auth.identify }),
      createUploadDoor({ ...base, identify: auth.identify, pages: { failure: failurePage } }),
    ];
    return serve((request, connection) => app.fetch(request, { connection }), {
      host: '127.0.0.1',
      port,
      log: silentLog,
      raw,
      graceMs: 100,
    });
  };
  let listener = await open(0);
  stack.defer(() => listener[Symbol.asyncDispose]());
  const owned = stack.move();
  return {
    farm,
    machine,
    url: listener.url,
    async restart() {
      const { port } = listener;
      await listener[Symbol.asyncDispose]();
      listener = await open(port);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
