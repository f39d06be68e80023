/** Under which key a commit's caches are found: the declared text with the contents of the commit's files in it. Pure. */
import type { Cache, JobCache } from '@croft/domain/job';
import { selects } from '@croft/domain/pattern';
import { sha256Hex } from '@croft/runtime/digest';

/** A file of the commit; `id` names its content. */
export interface KeyFile {
  readonly path: string;
  readonly id: string;
}

/** Whether the commit's files have to be known. */
export function needFiles(caches: readonly Cache[]): boolean {
  return caches.some(({ key, keyFiles }) => keyFiles.length > 0 || key.includes('{hash:'));
}

export function resolveCaches(caches: readonly Cache[], files: readonly KeyFile[]): JobCache[] {
  const hashOf = (patterns: readonly string[]): string => {
    const chosen = files.filter(({ path }) => selects(patterns, path)).map(({ path, id }) => [path, id]);
    return sha256Hex(JSON.stringify(chosen)).slice(0, 16);
  };
  return caches.map(({ name, paths, maxBytes, key, keyFiles, fallback }) => {
    const template = keyFiles.length === 0 ? key : `${key}${key === '' ? '' : '-'}{files}`;
    const prefix = template.split(/\{(?:hash:|files\})/)[0] ?? '';
    const whole = template
      .replaceAll(/\{hash:([^{}]+)\}/g, (_, pattern: string) => hashOf([pattern]))
      .replace(/\{files\}$/, () => hashOf(keyFiles));
    return { name, paths, maxBytes, key: whole, ...(fallback ? { prefix } : undefined) };
  });
}
