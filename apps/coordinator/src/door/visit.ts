/** Somebody who has come in: on which machine they are, and what they may do there. */
import type { Buildlet } from '@croft/buildlet/client';
import type { SessionView } from '@croft/protocol/sessions';
import { CroftError, isCode } from '@croft/runtime/errors';
import type { SessionGround, Sessions } from '../sessions/sessions.ts';
import type { ShellPlace } from '../sessions/shells.ts';
import type { LoginMethod } from './door-metrics.ts';
import type { KnownPerson } from './people.ts';
import type { Target } from './target.ts';

/** What a login proves. */
export interface Login {
  /** Whose key it was; several where they have the same one. */
  readonly people: readonly KnownPerson[];
  readonly target: Target;
  readonly may: May;
  readonly method: LoginMethod;
}

/** Less than everything only by a certificate that says so. */
export interface May {
  readonly terminal: boolean;
  readonly forward: boolean;
  readonly agent: boolean;
}

export interface Visit extends Disposable {
  readonly person: KnownPerson;
  readonly session: SessionView | undefined;
  readonly buildlet: Buildlet;
  readonly epoch: number;
  readonly ground: SessionGround;
  readonly ended: AbortSignal;
  /** How the ids of its runs begin. */
  readonly runs: string;
  /** The same, as shells take it. */
  readonly place: ShellPlace;
}

/** @throws CroftError `not-found`, `forbidden`, `conflict` as the sessions say */
export async function enterAs({ people, target }: Pick<Login, 'people' | 'target'>, sessions: Sessions): Promise<Visit> {
  let refusal: unknown;
  for (const person of people) {
    try {
      return await enterOne(person, target, sessions);
    } catch (error) {
      refusal ??= error;
      if (!isCode(error, 'forbidden') && !isCode(error, 'not-found')) throw error;
    }
  }
  throw refusal ?? new CroftError('forbidden', 'nobody in this farm has that key');
}

async function enterOne(person: KnownPerson, { place }: Target, sessions: Sessions): Promise<Visit> {
  if (place.kind === 'session') {
    const entered = await sessions.enter(person, place.name);
    return visitOf(person, entered, `${entered.session.id}.`);
  }
  const entered = await sessions.builds.enter(person, place.build);
  return visitOf(person, entered, entered.runs);
}

function visitOf(person: KnownPerson, place: ShellPlace, runs: string): Visit {
  const { session, buildlet, epoch, ground, ended } = place;
  return { person, session, buildlet, epoch, ground, ended, runs, place, [Symbol.dispose]: () => place[Symbol.dispose]() };
}
