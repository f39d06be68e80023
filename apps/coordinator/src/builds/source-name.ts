/** By it the machine knows whether it still holds the tree of this attempt. */
import type { Work } from './work.ts';

export function sourceName({ build, attempt }: Pick<Work, 'build' | 'attempt'>): string {
  return `${build}.${attempt}`;
}
