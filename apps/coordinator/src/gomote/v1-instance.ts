/** A session as the v1 protocol tells it (V1-5, V1-7). Pure. */
import type { SessionView } from '@croft/protocol/sessions';

export interface V1Instance {
  readonly User: string;
  readonly Name: string;
  readonly HostType: string;
  readonly BuilderType: string;
  readonly Created: string;
  readonly Expires: string;
}

/** @param user as its owner signs in, `user-ann` */
export function instanceOf(
  { alias, hostType = '', builder, createdAt, startedAt = createdAt, expiresAt = startedAt }: SessionView,
  user: string,
): V1Instance {
  return {
    User: user,
    Name: `user-${alias}`,
    HostType: hostType,
    BuilderType: builder,
    Created: goTime(startedAt),
    Expires: goTime(expiresAt),
  };
}

/** As Go writes an instant: without the zeros at the end of its fraction. */
function goTime(at: number): string {
  return new Date(at).toISOString().replace(/\.?0*Z$/, 'Z');
}
