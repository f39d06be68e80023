/** Machines that wait: 10,000 idle reverse lines on one coordinator, and how fast they are back after its restart. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { anySignal, MINUTE, SECOND } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import type { IdleLinesOptions, IdleLinesReport } from '../idle-lines.ts';
import { cpuMs } from '../process-cpu.ts';
import { makeCertificate, startCoordinator } from '../reverse-coordinator.ts';
import type { Bench, Measurement, Row } from '../row.ts';

const lines = 10_000;
const processes = 2;
const hostType = 'host-idle';
const goalMB = 1_000;
const goalRate = 400;
const settleMs = 20 * SECOND;
const connectMs = 5 * MINUTE;
const pollMs = 250;

export const idleLines: Row = { name: 'lines', about: `${lines} idle reverse lines on one coordinator, over TLS`, run };

async function run(bench: Bench): Promise<Measurement[]> {
  const { dir, clock, signal } = bench;
  const tls = await makeCertificate(dir);
  const config = { tls, hostTypes: [{ name: hostType }], pools: [{ kind: 'reverse' as const, hostType, expect: lines }] };
  await using stack = new AsyncDisposableStack();
  let coordinator = await startCoordinator(config, bench);
  stack.defer(() => coordinator.kill());
  const before = await rssMB(coordinator.pid);
  const secret = await coordinator.makeKey(hostType);
  const farms = Array.from({ length: processes }, (_, n) =>
    startLines({ port: coordinator.port, hostType, key: secret, prefix: `m${n}-`, count: lines / processes }),
  );
  stack.defer(() => Promise.all(farms.map(({ stop }) => stop())).then(() => undefined));
  const opened = (): number => farms.reduce((sum, { report }) => sum + report().open, 0);
  const until = async (what: string, is: () => boolean | Promise<boolean>): Promise<number> => {
    const from = clock.monotonic();
    const waits = { signal: anySignal(signal, clock.deadline(connectMs)) };
    while (!(await is())) {
      bench.progress(`${what}: ${opened()} lines; ${farms[0]?.report().trouble}`);
      await clock.sleep(pollMs, waits);
    }
    return clock.monotonic() - from;
  };
  const firstMs = await until('dial in', () => opened() === lines);
  await until('machines known', async () => (await coordinator.connected(hostType)) === lines);
  bench.progress('idle');
  const cpuFrom = await cpuMs([coordinator.pid]);
  await clock.sleep(settleMs, { signal });
  const busy = ((await cpuMs([coordinator.pid])) - cpuFrom) / settleMs;
  const idle = await rssMB(coordinator.pid);
  const pickUps = farms.reduce((sum, { report }) => sum + report().pickUps, 0);
  if (pickUps > 0) throw new CroftError('unavailable', `${pickUps} connections were picked up for nothing`);
  await coordinator.kill();
  coordinator = await startCoordinator(config, bench, coordinator.port);
  const { listened } = coordinator;
  if (!listened) throw new CroftError('internal', 'nobody saw the coordinator begin to listen');
  const isBack = ({ report }: Lines): boolean => report().open === lines / processes && report().openedAt > listened.at;
  await until('dial in again', () => farms.every(isBack));
  const backMs = Math.max(...farms.map(({ report }) => report().openedAt)) - listened.at;
  const backCpuMs = (await cpuMs([coordinator.pid])) - listened.cpuMs;
  await until('machines known again', async () => (await coordinator.connected(hostType)) === lines);
  const knownMs = clock.now() - listened.at;
  const back = await rssMB(coordinator.pid);
  return [
    {
      what: 'memory (RSS) of the coordinator with them',
      unit: 'MB',
      samples: [idle],
      goal: goalMB,
      peer: { what: 'without them', samples: [before] },
    },
    { what: 'the same just after its restart', unit: 'MB', samples: [back], goal: goalMB },
    { what: 'CPU of the coordinator while they idle, of one core', unit: 'ms', samples: [busy * 1_000] },
    { what: 'lines that dial in at first', unit: '/s', samples: [(lines * SECOND) / firstMs], goal: goalRate },
    { what: 'lines back after its kill -9, from when it listens again', unit: '/s', samples: [(lines * SECOND) / backMs], goal: goalRate },
    { what: 'CPU of the coordinator for each of them', unit: 'ms', samples: [backCpuMs / lines] },
    { what: 'machines ready for work again, likewise', unit: '/s', samples: [(lines * SECOND) / knownMs], goal: goalRate },
  ];
}

interface Lines {
  report(): IdleLinesReport;
  stop(): Promise<void>;
}

function startLines(options: IdleLinesOptions): Lines {
  const program = fileURLToPath(new URL('../idle-lines.ts', import.meta.url));
  const child: ChildProcess = fork(program, [JSON.stringify(options)], { execArgv: ['--disable-warning=ExperimentalWarning'] });
  const gone = once(child, 'exit');
  let last: IdleLinesReport = { open: 0, openedAt: 0, pickUps: 0, trouble: '' };
  child.on('message', (report) => (last = report as IdleLinesReport));
  return {
    report: () => last,
    async stop() {
      child.kill('SIGKILL');
      await gone;
    },
  };
}

async function rssMB(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8');
  return (Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1]) * 1_024) / 1e6;
}
