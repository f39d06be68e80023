/** A session as people and programs see it: pure. */
import type { Plan, WaitReason } from '@croft/domain/schedule';
import type { SessionView } from '@croft/protocol/sessions';
import type { Session } from '@croft/store/sessions';

export interface ViewFacts {
  readonly hostType?: string | undefined;
  readonly wait?: WaitReason | undefined;
  /** How it is entered with OpenSSH, where there is a door. */
  readonly ssh?: string | undefined;
  /** Names that nobody has here. */
  readonly strangers?: readonly string[];
}

export function toSessionView(session: Session, { hostType, wait, ssh, strangers = [] }: ViewFacts): SessionView {
  const { id, alias, owner, builder, from, note, sharedWith, createdAt, state } = session;
  const unknown = sharedWith.filter((name) => strangers.includes(name));
  return {
    id,
    alias,
    owner,
    builder,
    ...(hostType === undefined ? {} : { hostType }),
    from: originOf(from),
    state: state.kind,
    note,
    sharedWith: [...sharedWith],
    ...(unknown.length === 0 ? {} : { strangers: unknown }),
    createdAt,
    ...timesOf(session),
    ...('progress' in state && state.progress !== undefined ? { progress: state.progress } : {}),
    ...(state.kind === 'waiting' && wait ? { wait } : {}),
    url: `/sessions/${id}`,
    ...(ssh === undefined || state.kind === 'ended' ? {} : { ssh }),
  };
}

function originOf(from: Session['from']): SessionView['from'] {
  if (from.kind === 'asked') return from;
  const { kind, build, attempt } = from;
  return { kind, build, attempt, ...(kind === 'held' && from.policy ? { policy: true } : {}) };
}

type Times = Pick<SessionView, 'machine' | 'startedAt' | 'usedAt' | 'expiresAt' | 'latestAt' | 'endedAt' | 'endReason'>;

function timesOf({ state }: Session): Times {
  switch (state.kind) {
    case 'waiting':
      return {};
    case 'preparing':
      return { machine: state.machine, startedAt: state.startedAt, latestAt: state.latestAt };
    case 'active': {
      const { machine, startedAt, usedAt, expiresAt, latestAt } = state;
      return { machine, startedAt, usedAt, expiresAt, latestAt };
    }
    case 'ending':
      return { machine: state.machine, startedAt: state.startedAt, endReason: state.reason };
    case 'ended':
      return { ...state.had, endedAt: state.at, endReason: state.reason };
    default:
      return state satisfies never;
  }
}

/** Why it waits; of one whose machine runs an attempt until then, that. */
export function waitOf({ id, from }: Session, plan: Plan): WaitReason {
  if (from.kind === 'held')
    return { code: 'machines-busy', text: `until attempt ${from.attempt} of build ${from.build} has ended`, position: 0 };
  const known = plan.reasons.get(id);
  return known ?? { code: 'machines-busy', text: 'starts now', position: 0 };
}
