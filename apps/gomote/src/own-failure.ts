/** Exit status of commands that hand on somebody else's: what fails on our side must not look like theirs. */
import { tellFailure, type Cli } from '@croft/cli/program';
import { asCroftError } from '@croft/runtime/errors';
import { PipeClosed } from '@croft/cli/terminal';

export const ownFailure = 125;

/** @returns the remote status, or 125 after saying what went wrong here */
export async function apart(cli: Cli, act: () => Promise<number>): Promise<number> {
  try {
    return await act();
  } catch (error) {
    if (error instanceof PipeClosed) throw error;
    await tellFailure(cli.stderr, 'gomote', asCroftError(error, 'internal', 'gomote'));
    return ownFailure;
  }
}
