/** Names and ids, and their parsers. An id never changes and is never given twice. */
import { CroftError } from '@croft/runtime/errors';

export type BuilderName = string & { readonly __brand: 'BuilderName' };
export type RepoName = string & { readonly __brand: 'RepoName' };
/** A full git object id, 40 or 64 lower-case hex digits. */
export type Revision = string & { readonly __brand: 'Revision' };
/** `B` and 16 hex digits, derived from what is built (see `buildId`). */
export type BuildId = string & { readonly __brand: 'BuildId' };
export type MachineId = string & { readonly __brand: 'MachineId' };
export type LeaseId = string & { readonly __brand: 'LeaseId' };
/** `S` and 16 hex digits. */
export type SessionId = string & { readonly __brand: 'SessionId' };
/** `BUILD.ATTEMPT.STEP`, one path segment; the deterministic id under which a step runs on a buildlet. */
export type RunId = string & { readonly __brand: 'RunId' };

const name = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

function parser<T extends string>(pattern: RegExp, what: string, shape: string): (text: string) => T {
  return (text) => {
    if (!pattern.test(text)) throw new CroftError('invalid', `${what} ${JSON.stringify(text.slice(0, 120))} is not ${shape}`);
    return text as T;
  };
}

const nameShape = '1 to 100 letters, digits, dots, dashes or underscores, beginning with a letter or digit';
export const parseBuilderName = parser<BuilderName>(name, 'builder name', nameShape);
export const parseRepoName = parser<RepoName>(name, 'repository name', nameShape);
export const parseRevision = parser<Revision>(/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/, 'revision', 'a full lower-case git object id');
export const parseBuildId = parser<BuildId>(/^B[0-9a-f]{16}$/, 'build id', 'B and 16 hex digits');
export const parseMachineId = parser<MachineId>(name, 'machine id', nameShape);
export const parseLeaseId = parser<LeaseId>(/^L[0-9a-f]{16}$/, 'lease id', 'L and 16 hex digits');
export const parseSessionId = parser<SessionId>(/^S[0-9a-f]{16}$/, 'session id', 'S and 16 hex digits');
export const parseRunId = parser<RunId>(/^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/, 'run id', 'one path segment of at most 200 characters');
export const parseStepName = parser<string>(
  /^[a-z0-9][a-z0-9._-]{0,39}$/,
  'step name',
  '1 to 40 lower-case letters, digits, dots, dashes or underscores',
);

export function runId(build: BuildId, attempt: number, step: string): RunId {
  return parseRunId(`${build}.${attempt}.${step}`);
}
