/** Go's endpoints about the machine: `/`, `/healthz`, `/status`, `/workdir`, `/halt`. buildlet.md 1.4 and 1.11. */
import { availableParallelism, totalmem } from 'node:os';
import type { BuildletStatus } from '@croft/protocol/runs';
import type { SelfTest } from '@croft/protocol/self-test';
import { json, text, textError, type Answer } from '../http/answer.ts';
import { requestEpoch } from '../http/body.ts';
import type { Call, Route } from '../http/router.ts';
import type { Runs } from '../runs/runs.ts';
import type { Disk } from '../state/disk.ts';
import type { Fence } from '../state/fence.ts';
import { buildletVersion, goPlatform } from './platform.ts';

/** Of the 4096 that a message may have; the names of 50 tools leave as much. */
const shownFailureBytes = 400;
const freeStepBytes = 64 * 1024 * 1024;

export interface MachineDeps {
  readonly workDir: string;
  /** Random, new at each start. */
  readonly boot: string;
  readonly fence: Fence;
  readonly runs: Runs;
  readonly disk: Disk;
  /** Ends as soon as nothing is lost by it. */
  readonly isUpdating: () => boolean;
  readonly selfTest: () => SelfTest;
  /** Ends every run, and the program soon after. */
  readonly halt: () => Promise<void>;
}

export function machineRoutes(deps: MachineDeps): Record<string, Route> {
  return {
    '/': { style: 'text', open: true, handle: async () => text(`buildlet running on ${goPlatform()}\n`) },
    '/healthz': { style: 'text', open: true, handle: async () => text('ok\n') },
    '/status': getRoute(async () => json(await status(deps))),
    '/workdir': getRoute(async () => text(deps.workDir)),
    '/halt': { style: 'text', whileEnding: true, handle: (call) => halt(call, deps) },
  };
}

function getRoute(answer: () => Promise<Answer>): Route {
  return { style: 'text', handle: async ({ method }) => (method === 'GET' ? answer() : textError(400, 'requires GET method')) };
}

/** Also told over the line to a coordinator. */
export async function status({ boot, fence, runs, disk, isUpdating, selfTest }: MachineDeps): Promise<BuildletStatus> {
  const { freeBytes, low } = await disk.check();
  const has = { freeBytes, lowDisk: low, cpus: availableParallelism(), memoryBytes: totalmem() };
  const croft = {
    boot,
    epoch: fence.highest,
    runs: runs.list().length,
    ...has,
    pid: process.pid,
    ...(isUpdating() ? { updating: true } : {}),
    selfTest: selfTest(),
  };
  return { Version: buildletVersion, Croft: croft };
}

/** What of it is told over a line, whose messages are short: in steps that are worth one, and of the self-test what went wrong. */
export function lineStatus({ Croft }: BuildletStatus): BuildletStatus['Croft'] {
  if (!Croft?.selfTest) return Croft;
  let room = shownFailureBytes;
  const checks = Croft.selfTest.checks.map(({ name, ok, found }) => {
    const shown = ok ? '' : found.slice(0, Math.max(0, room));
    room -= Buffer.byteLength(shown);
    return { name, ok, found: shown };
  });
  return { ...Croft, freeBytes: Croft.freeBytes - (Croft.freeBytes % freeStepBytes), selfTest: { ...Croft.selfTest, checks } };
}

async function halt({ method, request }: Call, { fence, halt: end }: MachineDeps): Promise<Answer> {
  if (method !== 'POST') return textError(400, 'requires POST method');
  using _admission = await fence.enter(requestEpoch(request));
  await end();
  return text('');
}
