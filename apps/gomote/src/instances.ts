/** Which sessions a command is about: the one named first, else those of the active group (GRP-2, GRP-5). */
import { printable } from '@croft/cli/terminal';
import { sessionNamePattern, type SessionView } from '@croft/protocol/sessions';
import { SECOND } from '@croft/runtime/clock';
import { CroftError, errorText, isCode } from '@croft/runtime/errors';
import type { Group } from './groups.ts';
import type { World } from './world.ts';

export interface Chosen {
  /** At least one. */
  readonly sessions: readonly SessionView[];
  /** The arguments that are not the name. */
  readonly rest: readonly string[];
  /** All of the group are meant. */
  readonly asGroup: boolean;
}

const pingMs = 20 * SECOND;

/** @throws CroftError `not-found` when neither is there, `conflict` for a session that is not active */
export async function chooseInstances(args: readonly string[], world: World): Promise<Chosen> {
  const [first, ...others] = args;
  const named = first === undefined ? undefined : await ping(first, world);
  if (named) return { sessions: [named], rest: others, asGroup: false };
  if (!world.group) throw await nobodyNamed(first, world);
  const { present } = await loadGroup(await mustRead(world), world);
  if (present.length === 0) {
    throw new CroftError('not-found', `group ${world.group.name} has no instances`, { hint: 'gomote create BUILDER adds one.' });
  }
  return { sessions: present, rest: args, asGroup: true };
}

/** The one session that a command is about. @throws CroftError as above, `invalid` when a group has several */
export async function chooseOne(args: readonly string[], world: World): Promise<{ session: SessionView; rest: readonly string[] }> {
  const { sessions, rest } = await chooseInstances(args, world);
  const [session] = sessions;
  if (session && sessions.length === 1) return { session, rest };
  throw new CroftError('invalid', `name one of the instances: ${sessions.map(({ alias }) => alias).join(', ')}`);
}

/** Uses it; undefined when there is no such session. @throws CroftError for one that is not active, or whose machine does not answer */
export async function ping(name: string, { client }: Pick<World, 'client'>): Promise<SessionView | undefined> {
  if (!new RegExp(sessionNamePattern).test(name)) return undefined;
  try {
    return await client.call('session.ping', { params: { session: name }, timeoutMs: pingMs });
  } catch (error) {
    if (isCode(error, 'not-found')) return undefined;
    throw error;
  }
}

/** @throws CroftError `not-found` for a group that a flag names, or that a command needs, and that is not there */
export async function mustRead({ group, groups, cli: { stderr } }: World): Promise<Group> {
  if (!group) throw new CroftError('invalid', 'no group is active', { hint: 'Name one: -group NAME or GOMOTE_GROUP.' });
  const found = await groups.read(group.name);
  if (!found) {
    throw new CroftError('not-found', `there is no group ${JSON.stringify(group.name)}`, {
      hint: `Make it: gomote group create ${group.name}`,
    });
  }
  if (group.from === 'environment') await stderr.write(`# Using group "${group.name}" from GOMOTE_GROUP\n`);
  return found;
}

interface Loaded {
  readonly present: readonly SessionView[];
}

/**
 * Pings all at once, which also renews their leases. Those that have ended are dropped from the file; one whose machine does not answer is
 * kept in it, and told.
 */
async function loadGroup(group: Group, world: World): Promise<Loaded> {
  const { cli, groups } = world;
  const looked = await Promise.all(group.instances.map((name) => lookAt(name, world)));
  const kept = group.instances.filter((_, index) => looked[index] !== 'gone');
  if (kept.length < group.instances.length) {
    const gone = group.instances.filter((name) => !kept.includes(name));
    await cli.stderr.write(`# not there any more, and out of group "${group.name}": ${gone.join(' ')}\n`);
    await groups.write({ ...group, instances: kept });
  }
  return { present: looked.filter((one) => typeof one === 'object') };
}

async function lookAt(name: string, world: World): Promise<SessionView | 'gone' | 'silent'> {
  try {
    return (await ping(name, world)) ?? 'gone';
  } catch (error) {
    if (isCode(error, 'conflict') && (await hasEnded(name, world))) return 'gone';
    await world.cli.stderr.write(`# ${name}: ${printable(errorText(error))}\n`);
    return 'silent';
  }
}

async function hasEnded(name: string, { client }: World): Promise<boolean> {
  const { state } = await client.call('session.get', { params: { session: name } });
  return state === 'ended' || state === 'ending';
}

/** The latest that had the name, if any, tells why it is not there any more. */
async function nobodyNamed(first: string | undefined, { client }: World): Promise<CroftError> {
  if (first === undefined) return new CroftError('invalid', 'name an instance, or a group with -group or GOMOTE_GROUP');
  const message = `there is no instance ${JSON.stringify(first)}`;
  const { sessions } = await client.call('session.list', { query: { mine: '1', ended: '1' } });
  const ended = sessions.find(({ alias }) => alias === first);
  if (ended?.endReason !== undefined) {
    return new CroftError('not-found', `${message} any more: ${ended.endReason}`, {
      hint: `gomote create ${ended.builder} makes another one.`,
    });
  }
  return new CroftError('not-found', message, {
    hint: 'gomote list tells those that are there; -group or GOMOTE_GROUP names several at once.',
  });
}
