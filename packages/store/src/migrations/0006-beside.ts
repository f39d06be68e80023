/** Finds what was built together with a commit of another repository. */
import type { Migration } from '../migrate.ts';

export const beside: Migration = {
  version: 6,
  title: 'beside',
  statements: () => ['CREATE INDEX builds_beside ON builds (beside, seq) WHERE beside IS NOT NULL'],
};
