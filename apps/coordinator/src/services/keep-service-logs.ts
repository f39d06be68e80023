/** Ends the services of a job and keeps what each wrote as an artifact, `service-NAME`, without the secrets in it. */
import type { Service } from '@croft/domain/job';
import { anySignal, DAY, MINUTE } from '@croft/runtime/clock';
import { asCroftError, isCode } from '@croft/runtime/errors';
import { keepTrying } from '../builds/keep-trying.ts';
import type { AttemptRecord, FarmDeps } from '../builds/work.ts';
import { holderOf, runOf, type Serving as Started } from './run-services.ts';

type Serving = Started & { readonly farm: FarmDeps };

const keepMs = 30 * DAY;
const stopMs = 5 * MINUTE;
const maxBytes = 300 * 1024 * 1024;

/** What cannot be had of them is left out: it is no part of what was built. */
export async function stopServices(serving: Serving, { artifacts }: Pick<AttemptRecord, 'artifacts'>): Promise<void> {
  const { work, job, farm, signal: given } = serving;
  for (const service of (job.services ?? []).filter(({ name }) => !artifacts.has(artifactOf(name)))) {
    const signal = anySignal(given, farm.clock.deadline(stopMs));
    try {
      await keepTrying(() => stopOne(serving, service, signal), { work, farm, signal });
    } catch (error) {
      given.throwIfAborted();
      if (isCode(error, 'stale') || isCode(error, 'stopped')) throw error;
      farm.log.warn('log of a service not kept', {
        build: work.build,
        service: service.name,
        error: asCroftError(error, 'internal', 'keep it'),
      });
    }
  }
}

function artifactOf(service: string): string {
  return `service-${service}`;
}

async function stopOne(serving: Serving, { name }: Service, signal: AbortSignal): Promise<void> {
  const { work, farm } = serving;
  const buildlet = farm.connect(work.lease.machine);
  const id = runOf(holderOf(serving), { name });
  if (typeof (await buildlet.run(id, { signal })) === 'string') return;
  await buildlet.cancel(id, 'the steps have ended', work.lease.epoch, { signal });
  const { sha256, bytes } = await farm.blobs.put(masked(buildlet.output(id, 0, { signal }), serving), { maxBytes, signal });
  const state = { kind: 'kept', files: 1, bytes, keepUntil: farm.clock.now() + keepMs } as const;
  await farm.records.saveArtifact(work, { name: artifactOf(name), state, files: [{ path: `${name}.log`, sha256, bytes, mode: 0o644 }] });
}

async function* masked(output: AsyncIterable<Buffer>, { farm }: Serving): AsyncGenerator<Uint8Array> {
  const mask = farm.secrets.mask();
  for await (const piece of output) yield mask.push(piece);
  yield mask.end();
}
