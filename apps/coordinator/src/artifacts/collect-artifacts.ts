/**
 * Brings what a job leaves behind from its machine into the blob store, one artifact after the other, and notes each with all its files
 * in one write. Replayable: what is noted stands, what was stored and not noted is stored again under the same hashes.
 */
import type { Artifact, Job } from '@croft/domain/job';
import type { AttemptEnd } from '@croft/domain/outcome';
import { anySignal, MINUTE } from '@croft/runtime/clock';
import { asCroftError, errorText, isCode } from '@croft/runtime/errors';
import type { ArtifactState } from '@croft/store/artifacts';
import { keepTrying } from '../builds/keep-trying.ts';
import type { AttemptRecord, FarmDeps, KeptArtifact, Work } from '../builds/work.ts';
import { fetchFiles } from './fetch-files.ts';

export interface Collecting {
  readonly work: Work;
  readonly record: Pick<AttemptRecord, 'artifacts'>;
  readonly job: Job;
  readonly farm: FarmDeps;
  readonly signal: AbortSignal;
}

/** For one artifact: a machine may dawdle over each byte. */
const collectMs = 30 * MINUTE;

/** @returns the end, which is another one when the build passed and lacks what it must leave behind */
export async function collectArtifacts(collecting: Collecting, end: AttemptEnd): Promise<AttemptEnd> {
  const { record, job, farm, work } = collecting;
  let verdict = end;
  for (const artifact of (job.artifacts ?? []).filter(({ when }) => isWanted(when, end))) {
    let state = record.artifacts.get(artifact.name);
    if (!state) {
      const found = await fetchArtifact(artifact, collecting);
      if ('end' in found && end.kind === 'passed' && (artifact.required || found.end.cause === 'machine-lost')) return found.end;
      const kept = 'end' in found ? refused(artifact, found.end.evidence) : found;
      await farm.records.saveArtifact(work, kept);
      state = kept.state;
    }
    if (verdict.kind === 'passed' && artifact.required) verdict = endWithout(artifact, state) ?? verdict;
  }
  return verdict;
}

function isWanted(when: Artifact['when'], { kind }: AttemptEnd): boolean {
  if (kind === 'passed') return when !== 'failed';
  return (kind === 'failed' || kind === 'timed-out') && when !== 'passed';
}

function endWithout({ name, paths }: Artifact, state: ArtifactState): AttemptEnd | undefined {
  if (state.kind !== 'missing' && state.kind !== 'refused') return undefined;
  const why = state.kind === 'refused' ? state.why : `nothing matches ${paths.join(', ')}`;
  return { kind: 'failed', step: 'artifacts', text: `"${name}" is required: ${why}` };
}

/** What is not the build's doing comes as an end. */
async function fetchArtifact(
  artifact: Artifact,
  { work, job, farm, signal: given }: Collecting,
): Promise<KeptArtifact | { readonly end: AttemptEnd & { kind: 'infra' } }> {
  const { name, keepMs } = artifact;
  const signal = anySignal(given, farm.clock.deadline(collectMs));
  try {
    const { files, bytes } = await keepTrying(() => fetchFiles(artifact, { work, job, farm, signal }), { work, farm, signal });
    if (files.length === 0) return { name, state: { kind: 'missing' }, files };
    return { name, state: { kind: 'kept', files: files.length, bytes, keepUntil: farm.clock.now() + keepMs }, files };
  } catch (error) {
    given.throwIfAborted();
    if (isCode(error, 'stale') || isCode(error, 'stopped')) throw error;
    if (isCode(error, 'not-found') && error.fields['status'] !== undefined) return { name, state: { kind: 'missing' }, files: [] }; // else its buildlet is too old to be asked
    if (isCode(error, 'invalid') || isCode(error, 'too-large')) return refused(artifact, error.message);
    const failure = asCroftError(error, 'internal', `keep the artifact "${name}"`);
    farm.log.warn('artifact not kept', { build: work.build, artifact: name, error: failure });
    return { end: { kind: 'infra', cause: isCode(error, 'conflict') ? 'machine-lost' : 'artifacts-failed', evidence: errorText(failure) } };
  }
}

function refused({ name }: Artifact, why: string): KeptArtifact {
  return { name, state: { kind: 'refused', why: why.slice(0, 1_000) }, files: [] };
}
