/** The commands of `gomote`. */
import { createCli, type RunCli } from '@croft/cli/program';

export const runCli: RunCli = createCli({ name: 'gomote', about: 'Borrow machines of a Croft build farm.', help: '', commands: [] });
