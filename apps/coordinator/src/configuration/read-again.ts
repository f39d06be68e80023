/** Reads the operator's file again: a good one holds from now on, a bad one changes nothing and is told everywhere. */
import type { EnvironmentName, FarmConfig } from '@croft/config/farm-config';
import { mistakeText, type Mistake } from '@croft/config/mistakes';
import { loadConfigFile, type Loaded } from '@croft/config/read-config';
import { readSecrets, type Secrets } from '@croft/config/secrets';
import type { Clock, Waits } from '@croft/runtime/clock';
import { errorText } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import type { Metrics } from '../events.ts';
import { compareConfigs } from './compare-configs.ts';
import type { Watched } from './follow-files.ts';
import type { LiveConfig } from './live-config.ts';

/** Where the configuration came from. */
export interface ConfigSource extends Watched {
  readonly path: string;
  readonly environment: EnvironmentName;
}

export interface ReadAgainDeps {
  readonly live: LiveConfig;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'configurationRead'>;
  /** Makes room for what is new, before it holds. */
  prepare(config: FarmConfig): Promise<void>;
  /** It holds: lets everybody look at it. */
  changed(secrets: Secrets): void;
  /** Pages should show how it stands. */
  tell(): void;
}

const mostTold = 20;

/** @returns what is to be watched now */
export async function readAgain(source: ConfigSource, deps: ReadAgainDeps, waits: Waits): Promise<Watched> {
  const { live, log, metrics, clock } = deps;
  const readAt = clock.now();
  const read = await readAll(source, deps, waits);
  const mistakes = read.kind === 'valid' ? await prepared(source, read.config, deps) : read.mistakes;
  metrics.configurationRead(mistakes.length);
  if (read.kind === 'mistaken' || mistakes.length > 0) {
    live.refuse(mistakes);
    log.warn('configuration refused', {
      file: source.path,
      mistakes: mistakes.slice(0, mostTold).map(mistakeText),
      count: mistakes.length,
    });
  } else {
    const { config, changes, restart } = compareConfigs(live.current(), read.config);
    live.hold(config, restart);
    log.info('configuration loaded', { file: source.path, hash: read.hash, changes, restart });
    deps.changed(read.secrets);
  }
  deps.tell();
  return withSecretFiles({ files: read.files, readAt }, live.current());
}

/** A secret that was exchanged is a change, too. */
export function withSecretFiles({ files, readAt }: Watched, config: FarmConfig): Watched {
  return { files: [...new Set([...files, ...secretFiles(config)])], readAt };
}

function secretFiles({ secrets }: FarmConfig): string[] {
  return secrets.flatMap(({ from }) => ('file' in from ? [from.file] : []));
}

type Read = (Loaded & { readonly kind: 'mistaken' }) | (Loaded & { readonly kind: 'valid'; readonly secrets: Secrets });

async function readAll({ path, environment }: ConfigSource, { clock, env }: ReadAgainDeps, { signal }: Waits): Promise<Read> {
  try {
    const loaded = await loadConfigFile(path, { environment, clock, signal });
    if (loaded.kind === 'mistaken') return loaded;
    const { secrets, mistakes } = await readSecrets(loaded.config.secrets, env);
    const files = [...loaded.files, ...secretFiles(loaded.config)];
    if (mistakes.length === 0) return { ...loaded, files, secrets };
    const place = ({ index, why }: (typeof mistakes)[number]): Mistake => ({
      ...whole(path, why),
      line: loaded.lineOf(['secrets', index]),
      setting: `secrets.${index}`,
    });
    return { kind: 'mistaken', files, mistakes: mistakes.map(place) };
  } catch (error) {
    signal?.throwIfAborted();
    return { kind: 'mistaken', files: [path], mistakes: [whole(path, errorText(error))] };
  }
}

async function prepared({ path }: ConfigSource, config: FarmConfig, { prepare }: ReadAgainDeps): Promise<Mistake[]> {
  try {
    await prepare(config);
    return [];
  } catch (error) {
    return [whole(path, `could not be applied, save it again to try again: ${errorText(error)}`)];
  }
}

function whole(file: string, message: string): Mistake {
  return { file, line: undefined, setting: '', message, nearest: undefined };
}
