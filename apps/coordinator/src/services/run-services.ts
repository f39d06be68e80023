/**
 * The services of a job: each a run of its own beside the steps, on a port of the machine, ready before the first step begins and killed
 * after the last. Replayable as steps are: ports and runs have fixed names, so that whoever comes later finds what runs already.
 */
import type { Buildlet } from '@croft/buildlet/client';
import { stepSpec } from '@croft/buildlet/step-spec';
import type { Job, Service } from '@croft/domain/job';
import { parseRunId, type RunId, type SessionId } from '@croft/domain/names';
import { endOfStep, type AttemptEnd } from '@croft/domain/outcome';
import { DAY } from '@croft/runtime/clock';
import { errorText, isCode } from '@croft/runtime/errors';
import { keepTrying } from '../builds/keep-trying.ts';
import { sourceName } from '../builds/source-name.ts';
import type { FarmDeps, Work } from '../builds/work.ts';

export interface Serving {
  readonly work: Work;
  readonly job: Job;
  readonly farm: Omit<FarmDeps, 'records'>;
  /** Whose runs they are, of a session; else they are the attempt's. */
  readonly session?: SessionId;
  readonly signal: AbortSignal;
}

const host = '127.0.0.1';
const pauseMs = 100;
const probeMs = 20_000;
const outputLimitBytes = 256 * 1024 * 1024;

/** Where steps find the services. @returns an end when one of them cannot be had */
export async function startServices(
  serving: Serving,
  { begun }: { readonly begun: boolean },
): Promise<Record<string, string> | AttemptEnd> {
  const { work, job, farm, signal } = serving;
  const buildlet = farm.connect(work.lease.machine);
  const found: Record<string, string> = {};
  const started: { service: Service; port: number }[] = [];
  for (const service of job.services ?? []) {
    if (!service.argv) return { kind: 'skipped', why: `the service ${service.name} is an image, and this machine runs no containers` };
    const port = await keepTrying(() => buildlet.portFor(runOf(holderOf(serving), service), { signal }), { work, farm, signal });
    Object.assign(found, whereItIs(service, port));
    started.push({ service, port });
  }
  if (begun) return found;
  try {
    for (const { service, port } of started) await start(serving, buildlet, { service, port });
    for (const { service, port } of started) {
      const end = await untilReady(serving, buildlet, { service, port });
      if (end) return end;
    }
  } catch (error) {
    if (isCode(error, 'conflict')) return { kind: 'infra', cause: 'machine-lost', evidence: errorText(error) };
    throw error;
  }
  return found;
}

/** Where services are that were started, or would be. */
export async function findServices(
  services: readonly Service[],
  holder: string,
  { buildlet, signal }: { readonly buildlet: Pick<Buildlet, 'portFor'>; readonly signal: AbortSignal },
): Promise<Record<string, string>> {
  const runs = services.filter(({ argv }) => argv);
  const found = await Promise.all(runs.map(async (one) => whereItIs(one, await buildlet.portFor(runOf(holder, one), { signal }))));
  return Object.assign({}, ...found) as Record<string, string>;
}

function whereItIs({ name }: Service, port: number): Record<string, string> {
  const variable = `SERVICE_${name.toUpperCase().replaceAll(/[^A-Z0-9]/g, '_')}`;
  return { [`${variable}_HOST`]: host, [`${variable}_PORT`]: String(port) };
}

/** What ids of its runs begin with. */
export function holderOf({ work, session }: Pick<Serving, 'work' | 'session'>): string {
  return session ?? `${work.build}.${work.attempt}`;
}

/** A step's name has no capital letter, so none has this id. */
export function runOf(holder: string, { name }: Pick<Service, 'name'>): RunId {
  return parseRunId(`${holder}.SERVICE-${name}`);
}

export function isEnd(found: Record<string, string> | AttemptEnd): found is AttemptEnd {
  return 'kind' in found;
}

interface Started {
  readonly service: Service;
  readonly port: number;
}

async function start(serving: Serving, buildlet: Buildlet, { service, port }: Started): Promise<void> {
  const id = runOf(holderOf(serving), service);
  await run(serving, buildlet, { id, argv: service.argv ?? [], service, port, limitMs: DAY });
}

interface Running extends Started {
  readonly id: RunId;
  readonly argv: readonly string[];
  readonly limitMs: number;
}

/** A run that is there stays as it was started. */
async function run({ work, job, farm, signal }: Serving, buildlet: Buildlet, { id, argv, service, port, limitMs }: Running): Promise<void> {
  const variables = { ...farm.secrets.variables({ ...job.secrets, ...service.secrets }), HOST: host, PORT: String(port) };
  const step = { name: service.name, role: 'setup', argv, env: service.env, dir: '.', limitMs } as const;
  const spec = stepSpec(job, step, { variables, outputLimitBytes });
  const begin = async (): Promise<void> => {
    if ((await buildlet.run(id, { signal })) !== 'unknown') return;
    await buildlet.startOrAttach(id, spec, work.lease.epoch, { source: sourceName(work), signal });
  };
  await keepTrying(begin, { work, farm, signal });
}

async function untilReady(serving: Serving, buildlet: Buildlet, { service, port }: Started): Promise<AttemptEnd | undefined> {
  const { work, farm, signal } = serving;
  const { argv, withinMs } = service.ready;
  const step = `service ${service.name}`;
  const since = farm.clock.monotonic();
  for (let tries = 0; farm.clock.monotonic() - since < withinMs; tries += 1) {
    const now = await keepTrying(() => buildlet.run(runOf(holderOf(serving), service), { signal }), { work, farm, signal });
    if (typeof now === 'string')
      return { kind: 'infra', cause: 'buildlet-died', evidence: `its machine does not know the ${step} any more` };
    if (now.state === 'ended') return earlyEnd(step, endOfStep(step, now.exit));
    if (
      argv
        ? await passes(serving, buildlet, { service, port, argv, tries })
        : await keepTrying(() => buildlet.isOpen(port, { signal }), { work, farm, signal })
    )
      return undefined;
    await farm.clock.sleep(pauseMs, { signal });
  }
  return { kind: 'failed', step, text: `it was not ready within ${withinMs / 1_000} s` };
}

function earlyEnd(step: string, end: AttemptEnd | undefined): AttemptEnd {
  if (end?.kind === 'infra' || end?.kind === 'cancelled') return end;
  const why = end && 'text' in end ? end.text : 'exit status 0';
  return { kind: 'failed', step, text: `it ended before it was ready: ${why}` };
}

interface Probe extends Started {
  readonly argv: readonly string[];
  readonly tries: number;
}

async function passes(serving: Serving, buildlet: Buildlet, { service, port, argv, tries }: Probe): Promise<boolean> {
  const { work, farm, signal } = serving;
  const id = parseRunId(`${holderOf(serving)}.READY-${service.name}-${tries}`);
  await run(serving, buildlet, { id, argv, service, port, limitMs: probeMs });
  const ended = await keepTrying(() => buildlet.run(id, { signal, waitMs: probeMs }), { work, farm, signal });
  if (typeof ended === 'string' || ended.state !== 'ended') return false;
  // A machine keeps some thousand runs, and a service may take long.
  await keepTrying(() => buildlet.collect(id, work.lease.epoch, { signal }), { work, farm, signal });
  return ended.exit.kind === 'exited' && ended.exit.code === 0;
}
