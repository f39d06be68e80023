import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createBuildlet, type Buildlet } from '@croft/buildlet/client';
import { systemClock } from '@croft/runtime/clock';
import { silentLog } from '@croft/runtime/log';
import { systemRandom } from '@croft/runtime/random';
import { createTaskGroup } from '@croft/runtime/tasks';
import { poolContract, type PoolStage } from './pool-contract.ts';
import { createReverseDesk, type ReverseDesk } from './reverse-desk.ts';
import { machineIdOf, type ReversePool } from './reverse-pool.ts';
import { processesBelow } from './testing-processes.ts';
import { dialIn } from './testing-reverse.ts';

const program = fileURLToPath(new URL('../../../apps/buildlet/src/main.ts', import.meta.url));
const hostType = 'host-test';

/** A buildlet under a supervisor that starts it again when it ends, with a line to whatever desk there is. */
class Worker implements AsyncDisposable {
  readonly host: string;
  readonly #dir: string;
  readonly #desk: () => ReverseDesk | undefined;
  readonly #tasks = createTaskGroup((_, error) => assert.fail(String(error)));
  #child: ChildProcess | undefined;
  #ended: AbortController | undefined;

  constructor(host: string, dir: string, desk: () => ReverseDesk | undefined) {
    this.host = host;
    this.#dir = join(dir, host);
    this.#desk = desk;
    this.#tasks.start('supervise', async ({ signal }) => {
      for (; !signal.aborted; await systemClock.sleep(200, { signal })) await this.#runOnce(signal);
    });
  }

  async crash(): Promise<void> {
    const { pid } = this.#child ?? assert.fail(`${this.host} does not run`);
    process.kill(pid ?? 0, 'SIGKILL');
    while (!this.#ended?.signal.aborted) await systemClock.sleep(5);
  }

  async #runOnce(signal: AbortSignal): Promise<void> {
    await mkdir(join(this.#dir, 'work'), { recursive: true, mode: 0o700 });
    const socketPath = join(this.#dir, 'b.sock');
    await rm(socketPath, { force: true });
    const flags = [
      '-insecure-listen',
      '-workdir',
      join(this.#dir, 'work'),
      '-listen',
      `unix:${socketPath}`,
      '--state-dir',
      join(this.#dir, 'state'),
    ];
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', program, ...flags], { stdio: 'ignore' });
    const ended = new AbortController();
    this.#ended = ended;
    child.once('exit', () => ended.abort());
    this.#child = child;
    const over = AbortSignal.any([signal, ended.signal]);
    await using buildlet = createBuildlet({ socketPath, password: '' }, { clock: systemClock });
    try {
      while (!over.aborted) await this.#keepLine(buildlet, socketPath, over);
    } catch {
      // ended, or not up yet
    }
    if (signal.aborted) child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }

  async #keepLine(buildlet: Buildlet, socketPath: string, signal: AbortSignal): Promise<void> {
    const desk = this.#desk();
    const status = await buildlet.status({ signal }).catch(() => undefined);
    if (desk && status?.Croft) {
      const arrival = { hostType, host: this.host, boot: status.Croft.boot, version: status.Version, from: '127.0.0.1' };
      if (desk.refuse(arrival) === undefined) {
        await using line = dialIn(desk, {
          clock: systemClock,
          arrival,
          status: () => status.Croft,
          serve(socket) {
            const to = connect(socketPath);
            to.on('error', () => socket.destroy()).on('close', () => socket.destroy());
            socket.on('error', () => to.destroy()).on('close', () => to.destroy());
            socket.pipe(to).pipe(socket);
          },
        });
        const stop = (): void => line.listener.close('the machine is gone');
        signal.addEventListener('abort', stop, { once: true });
        await line.listener.done;
      }
    }
    await systemClock.sleep(50, { signal });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tasks[Symbol.asyncDispose]();
  }
}

async function openStage(): Promise<PoolStage> {
  const dir = await mkdtemp(join(tmpdir(), 'croft-reverse-'));
  let desk: ReverseDesk | undefined;
  let pool: ReversePool | undefined;
  const workers = ['a', 'b'].map((host) => new Worker(host, dir, () => desk));
  return {
    async open() {
      const now = createReverseDesk({ clock: systemClock, random: systemRandom, log: silentLog });
      const known = workers.map(({ host }) => machineIdOf('rack', host));
      const opened = now.open({ name: 'rack', known, spoolDir: join(dir, 'spool') });
      opened.declare({ hostType, labels: ['test'], expect: 2 });
      desk = now;
      pool = opened;
      const close = opened[Symbol.asyncDispose].bind(opened);
      return Object.assign(opened, {
        async [Symbol.asyncDispose]() {
          if (desk === now) desk = undefined;
          await close();
          await now[Symbol.asyncDispose]();
        },
      });
    },
    async crash(id) {
      const connected = pool?.shortfall?.().connected ?? 0;
      await workers.find(({ host }) => machineIdOf('rack', host) === id)?.crash();
      while ((pool?.shortfall?.().connected ?? 0) >= connected && connected > 0) await systemClock.sleep(1);
    },
    /** What was begun on them; the machines themselves are not made by the pool, and wait for the next coordinator. */
    remains: async () => processesBelow(dir).flatMap(({ pid, text }) => (text.includes(program) ? [] : [`${pid} ${text}`])),
    async [Symbol.asyncDispose]() {
      await Promise.all(workers.map((worker) => worker[Symbol.asyncDispose]()));
      await rm(dir, { recursive: true, force: true });
    },
  };
}

poolContract('reverse', openStage);
