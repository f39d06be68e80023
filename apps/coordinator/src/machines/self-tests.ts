/**
 * Machines are asked to test themselves before they are given work: after each start of their buildlet, when the tools of their host type have
 * changed, and again while something is wrong. Those that cannot (Go's own buildlets, older ones) are taken as they are.
 */
import type { Buildlet } from '@croft/buildlet/client';
import type { MachineId } from '@croft/domain/names';
import type { Observed } from '@croft/fleet/pool';
import { clockCheck, toolCheck, type SelfTest } from '@croft/protocol/self-test';
import { anySignal, MINUTE, type Clock } from '@croft/runtime/clock';
import { errorText } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import { createBell, createTaskGroup } from '@croft/runtime/tasks';
import { ringOrRest } from '../keep-doing.ts';
import type { Machines } from './watch-machines.ts';

export interface SelfTests {
  /** Why a machine that answers takes no work yet. */
  whyHeld(observed: Observed): string | undefined;
  /** Without what was tested for a tool that nobody asks for any more. */
  shown(observed: Observed): SelfTest | undefined;
  /** A machine may have changed. */
  look(): void;
  run(machines: Pick<Machines, 'list' | 'connect' | 'look'>, waits: { signal: AbortSignal }): Promise<void>;
}

export interface SelfTestsDeps {
  /** Of a host type. */
  readonly tools: (hostType: string) => readonly string[];
  readonly clock: Clock;
  readonly log: Log;
}

interface Asked {
  readonly about: string;
  /** Monotonic ms. */
  readonly at: number;
}

const askMs = MINUTE;
/** Between two tests of a machine with which something is wrong, and of one that did not answer. */
const pauses = { wrong: 5 * MINUTE, silent: MINUTE };
const atOnce = 32;
const restMs = MINUTE;

export function createSelfTests({ tools, clock, log }: SelfTestsDeps): SelfTests {
  const bell = createBell();
  const asked = new Map<MachineId, Asked>();
  const asking = new Set<MachineId>();

  const isDue = ({ id, state, boot, hostType, selfTest }: Observed): boolean => {
    if (state !== 'up' || selfTest === undefined || selfTest.at === 0 || asking.has(id)) return false;
    const wanted = tools(hostType);
    const wrong = failures(selfTest, wanted).length > 0;
    if (!wrong && isComplete(selfTest, wanted)) return false;
    const last = asked.get(id);
    return last?.about !== aboutOf(boot, wanted) || clock.monotonic() - last.at >= (wrong ? pauses.wrong : pauses.silent);
  };
  const ask = async ({ id, boot, hostType }: Observed, buildlet: Buildlet, signal: AbortSignal): Promise<void> => {
    const wanted = tools(hostType);
    asked.set(id, { about: aboutOf(boot, wanted), at: clock.monotonic() });
    const result = await buildlet.selfTest({ tools: [...wanted], now: clock.now() }, { signal: anySignal(signal, clock.deadline(askMs)) });
    const wrong = failures(result, wanted);
    if (wrong.length > 0) log.warn('machine failed its self-test', { machine: id, failed: wrong });
  };

  return {
    whyHeld: ({ hostType, selfTest }) => whyHeld(selfTest, tools(hostType)),
    shown: ({ hostType, selfTest }) => selfTest && { ...selfTest, checks: wantedChecks(selfTest, tools(hostType)) },
    look: () => bell.ring(),
    async run(machines, { signal }) {
      await using tasks = createTaskGroup((name, error) => log.error('background work stopped', { task: name, error }));
      const start = (observed: Observed): void => {
        asking.add(observed.id);
        tasks.start('self-test', async (waits) => {
          try {
            await ask(observed, machines.connect(observed.id), waits.signal);
            machines.look();
          } catch (error) {
            waits.signal.throwIfAborted();
            log.warn('machine not tested', { machine: observed.id, error: errorText(error) });
          } finally {
            asking.delete(observed.id);
            bell.ring();
          }
        });
      };
      for (;;) {
        const present = machines.list().map(({ observed }) => observed);
        const ids = new Set(present.map(({ id }) => id));
        for (const id of asked.keys()) if (!ids.has(id)) asked.delete(id);
        for (const observed of present.filter(isDue).slice(0, Math.max(0, atOnce - asking.size))) start(observed);
        await ringOrRest(bell, restMs, { clock, signal });
      }
    },
  };
}

/** Of what a machine found out about itself; undefined when it may work. */
function whyHeld(selfTest: SelfTest | undefined, tools: readonly string[]): string | undefined {
  if (selfTest === undefined) return undefined;
  if (selfTest.at === 0) return 'is testing itself';
  const wrong = failures(selfTest, tools);
  if (wrong.length > 0) return `did not pass its self-test (${wrong.map(({ name }) => name).join(', ')})`;
  return isComplete(selfTest, tools) ? undefined : 'is asked to test itself';
}

/** Tools that nobody asks for any more are no failure. */
function wantedChecks({ checks }: SelfTest, tools: readonly string[]): SelfTest['checks'] {
  const wanted = new Set(tools.map(toolCheck));
  return checks.filter(({ name }) => !name.startsWith(toolCheck('')) || wanted.has(name));
}

function failures(test: SelfTest, tools: readonly string[]): SelfTest['checks'] {
  return wantedChecks(test, tools).filter(({ ok }) => !ok);
}

function isComplete({ checks }: SelfTest, tools: readonly string[]): boolean {
  const names = new Set(checks.map(({ name }) => name));
  return names.has(clockCheck) && tools.every((tool) => names.has(toolCheck(tool)));
}

function aboutOf(boot: string | undefined, tools: readonly string[]): string {
  return JSON.stringify([boot, tools]);
}
