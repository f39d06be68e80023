/** One request for each of several builds: what fails for one does not keep the others from being done. */
import type { BuildId } from '@croft/domain/names';
import type { BuildSummary } from '@croft/protocol/api';
import { CroftError, errorText } from '@croft/runtime/errors';
import { exitCodeOf, exitCodes } from '@croft/cli/exit-codes';
import type { Output } from '@croft/cli/terminal';

export interface EachOptions {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly json: boolean | undefined;
  /** What has happened to each, in words. */
  readonly done: string;
}

/** @returns the exit status: that of the last failure, if any */
export async function forEachBuild(
  builds: readonly BuildId[],
  { stdout, stderr, json, done }: EachOptions,
  act: (build: BuildId) => Promise<BuildSummary>,
): Promise<number> {
  const changed: BuildSummary[] = [];
  const failures: { build: BuildId; code: string; message: string }[] = [];
  let status: number = exitCodes.ok;
  for (const id of builds) {
    try {
      changed.push(await act(id));
      if (!json) await stdout.write(`${id} ${done}\n`);
    } catch (error) {
      if (!(error instanceof CroftError)) throw error;
      status = exitCodeOf(error);
      failures.push({ build: id, code: error.code, message: errorText(error) });
      await stderr.write(`${id}: ${errorText(error)}${error.hint ? `. ${error.hint}` : ''}\n`);
    }
  }
  if (json) await stdout.write(`${JSON.stringify({ builds: changed, ...(failures.length > 0 && { failures }) })}\n`);
  return status;
}

/** What would be done, and nothing is. */
export async function showChosen(builds: readonly BuildId[], { stdout, stderr, json, done }: EachOptions): Promise<number> {
  await stdout.write(json ? `${JSON.stringify({ dryRun: true, builds })}\n` : builds.map((id) => `${id} ${done}\n`).join(''));
  if (!json) await stderr.write(`${builds.length} builds ${done}\n`);
  return exitCodes.ok;
}
