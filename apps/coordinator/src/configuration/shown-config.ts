/** The configuration as loaded, for operators: whole, but without anything that is or may be a secret. Pure. */
import type { FarmConfig } from '@croft/config/farm-config';
import { parseRepositoryUrl } from '@croft/forge/repository-url';
import { Secret } from '@croft/runtime/config';

/** As JSON. */
export type ShownConfig = Omit<FarmConfig, 'databaseUrl'> & { readonly databaseUrl?: string };

/** Variables that people put secrets into though they should not. */
const suspicious = /TOKEN|SECRET|PASSW|PASSPHRASE|PASS$|PWD$|CREDENTIAL|PRIVATE|(?:API|ACCESS)_?KEY|KEY$|AUTH|COOKIE/i;
/** What stands between the name of a user and the host of an address. */
const password = /(:\/\/[^/\s:@]*:)[^/\s@]+(?=@)/g;
const hidden = '[secret]';

/** `clean` blanks the values of known secrets out of a text. */
export function shownConfig(config: FarmConfig, clean: (text: string) => string): ShownConfig {
  const repos = config.repos.map((repo) => ({ ...repo, url: parseRepositoryUrl(repo.url).shown }));
  return show({ ...config, repos }, '', clean) as ShownConfig;
}

function show(value: unknown, key: string, clean: (text: string) => string): unknown {
  if (value instanceof Secret) return hidden;
  if (typeof value === 'string') return clean(value).replaceAll(password, `$1${hidden}`);
  if (Array.isArray(value)) return value.map((one) => show(one, key, clean));
  if (value === null || typeof value !== 'object') return value;
  const entries = Object.entries(value).filter(([, inner]) => inner !== undefined);
  return Object.fromEntries(
    entries.map(([name, inner]) => [name, key === 'env' && suspicious.test(name) ? hidden : show(inner, name, clean)]),
  );
}
