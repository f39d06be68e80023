/** What attempts have left behind, as people and programs see it. */
import type { BlobStore } from '@croft/blobs/blobs';
import type { BuildId } from '@croft/domain/names';
import { cacheUseSchema, type ArtifactFileView, type ArtifactView, type CacheUseView } from '@croft/protocol/artifacts';
import { pathOf } from '@croft/protocol/operations';
import { CroftError } from '@croft/runtime/errors';
import { artifactFiles, artifactsOf, getArtifactFile, type Artifact, type ArtifactFile as StoredFile } from '@croft/store/artifacts';
import { getBuild } from '@croft/store/builds';
import { cacheUsesOf } from '@croft/store/caches';
import type { Sql } from '@croft/store/database';
import type { ArtifactFile, ArtifactPlace, Capabilities } from '../capabilities.ts';

type Wanted = Parameters<Capabilities['artifacts']>[1];

/** @throws CroftError `not-found` for a build that is not known */
export async function readArtifacts(sql: Sql, build: BuildId, { attempt, maxFiles }: Wanted): Promise<ArtifactView[]> {
  const noted = (await artifactsOf(sql, build)).filter((artifact) => attempt === undefined || artifact.attempt === attempt);
  if (noted.length === 0 && !(await getBuild(sql, build))) throw new CroftError('not-found', `there is no build ${build}`);
  const views: ArtifactView[] = [];
  for (const artifact of noted) {
    const ref = { build, number: artifact.attempt, name: artifact.name };
    const files = artifact.state.kind === 'kept' ? await artifactFiles(sql, ref, { limit: maxFiles }) : [];
    views.push(toView(build, artifact, files));
  }
  return views;
}

export async function readCacheUses(sql: Sql, build: BuildId, { attempt }: { attempt?: number }): Promise<CacheUseView[]> {
  const uses = await cacheUsesOf(sql, build);
  return uses.filter((use) => attempt === undefined || use.attempt === attempt).map((use) => cacheUseSchema.parse(use));
}

/** @throws CroftError `not-found` */
export async function readArtifactFile(
  sql: Sql,
  build: BuildId,
  { attempt, artifact, path }: ArtifactPlace,
): Promise<Pick<ArtifactFile, 'bytes' | 'sha256'>> {
  const ref = { build, number: attempt, name: artifact };
  const file = await getArtifactFile(sql, ref, path);
  if (file) return file;
  const { state } = (await artifactsOf(sql, build)).find((noted) => noted.attempt === attempt && noted.name === artifact) ?? {};
  const which = `the artifact "${artifact}" of build ${build}, attempt ${attempt},`;
  if (state?.kind === 'expired') throw new CroftError('not-found', `${which} was removed by retention`);
  if (state?.kind === 'kept') throw new CroftError('not-found', `${which} has no file ${JSON.stringify(path)}`);
  throw new CroftError('not-found', `${which} is not there`);
}

/** The file with its bytes. @throws CroftError `not-found` */
export function withBytes({ bytes, sha256 }: Pick<ArtifactFile, 'bytes' | 'sha256'>, blobs: BlobStore): ArtifactFile {
  return { bytes, sha256, read: (range) => blobs.read(sha256, range) };
}

function toView(build: BuildId, { attempt, name, storedAt, state }: Artifact, files: readonly StoredFile[]): ArtifactView {
  const base = {
    attempt,
    name,
    state: state.kind,
    storedAt,
    files: 0,
    bytes: 0,
    fileList: files.map((file) => toFileView(build, { attempt, name }, file)),
  };
  switch (state.kind) {
    case 'kept':
      return { ...base, files: state.files, bytes: state.bytes, keepUntil: state.keepUntil };
    case 'expired':
      return { ...base, files: state.files, bytes: state.bytes };
    case 'refused':
      return { ...base, why: state.why };
    case 'missing':
      return base;
    default:
      return state satisfies never;
  }
}

function toFileView(build: BuildId, { attempt, name }: { attempt: number; name: string }, file: StoredFile): ArtifactFileView {
  const url = pathOf('artifact.get', { build, attempt: String(attempt), artifact: name, path: file.path }).replaceAll('%2F', '/');
  return { ...file, url };
}
