/** How long what a builder's builds leave is kept, also of one that is not configured any more. */
import type { Builder, Retention } from '@croft/domain/job';
import { DAY } from '@croft/runtime/clock';

export type Retained = Pick<Builder, 'name' | 'retention'>;

const ofOthers: Retention = { logAgeMs: 90 * DAY, logBytes: 20e9, artifactBytes: 20e9 };

export function retentionOf(name: string, builders: readonly Retained[]): Retention {
  return builders.find((builder) => builder.name === name)?.retention ?? ofOthers;
}
