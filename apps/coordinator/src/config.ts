/** What the coordinator is told on its command line. Everything else stands in the configuration that it names. */
import { parseArgs } from 'node:util';
import { environmentNames, type EnvironmentName } from '@croft/config/farm-config';
import { CroftError, errorText } from '@croft/runtime/errors';

export interface Arguments {
  readonly configFile: string;
  readonly environment: EnvironmentName;
}

const hint = 'Usage: node apps/coordinator/src/main.ts --config FILE [--env production|staging|local]';

/** @throws CroftError `invalid` for what it does not know, and without a configuration */
export function readArguments(args: readonly string[]): Arguments {
  const { config, env = 'local' } = parse(args);
  const environment = environmentNames.find((name) => name === env);
  if (config === undefined) throw new CroftError('invalid', 'no configuration was given', { hint });
  if (environment === undefined) throw new CroftError('invalid', `--env ${JSON.stringify(env)} is not an environment`, { hint });
  return { configFile: config, environment };
}

function parse(args: readonly string[]): { config?: string; env?: string } {
  try {
    return parseArgs({ args: [...args], options: { config: { type: 'string' }, env: { type: 'string' } } }).values;
  } catch (error) {
    throw new CroftError('invalid', errorText(error), { hint });
  }
}
