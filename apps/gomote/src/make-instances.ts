/** Sessions that are asked for at once, and join the group that is meant: of `gomote create` and `repro` (GRP-1, GRP-4). */
import type { SessionView } from '@croft/protocol/sessions';
import { CroftError, asCroftError, errorText } from '@croft/runtime/errors';
import { printable } from '@croft/cli/terminal';
import { followToMachine } from './wait-for-machine.ts';
import type { World } from './world.ts';

export interface Making {
  /** How many, as it was written. */
  readonly count: string;
  readonly newGroup?: string;
  /** Whether to tell what they wait for. */
  readonly status: boolean;
}

/**
 * Prints their names when all that can be had are there.
 * @param ask for one of them
 * @throws CroftError the first failure, after the others were told; what was made is kept, and in the group. A new group of nothing is not
 */
export async function makeInstances(making: Making, world: World, ask: () => Promise<SessionView>): Promise<SessionView[]> {
  const { cli, json } = world;
  const count = countOf(making.count);
  const group = await groupFor(making, world);
  const wanted = Array.from({ length: count }, async () => followToMachine(await ask(), { ...world, status: making.status }));
  const settled = await Promise.allSettled(wanted);
  const made = settled.filter((one) => one.status === 'fulfilled').map(({ value }) => value);
  const failures = settled.filter((one) => one.status === 'rejected').map(({ reason }) => asCroftError(reason, 'internal', 'create'));
  if (making.newGroup !== undefined && made.length === 0) await world.groups.remove(making.newGroup);
  else if (group !== undefined) await addToGroup(group, made, world);
  const [first, ...others] = failures;
  if (!json) await cli.stdout.write(made.map(({ alias }) => `${alias}\n`).join(''));
  else if (made.length > 0) {
    const failed = failures.map((failure) => ({ code: failure.code, message: errorText(failure) }));
    await cli.stdout.write(`${JSON.stringify({ sessions: made, ...(first && { failures: failed }) })}\n`);
  }
  for (const failure of others) await cli.stderr.write(`gomote: ${printable(errorText(failure))}\n`);
  if (first) throw first;
  return made;
}

function countOf(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count > 0 && count <= 100) return count;
  throw new CroftError('invalid', `-count ${JSON.stringify(text)} is not a number from 1 to 100`);
}

/** The name of the group that what is made joins. */
async function groupFor({ newGroup }: Making, { groups, group }: World): Promise<string | undefined> {
  if (newGroup !== undefined) {
    if (await groups.read(newGroup)) throw new CroftError('conflict', `there is a group ${newGroup} already`);
    await groups.write({ name: newGroup, instances: [] });
    return newGroup;
  }
  if (group?.from === 'flag' && !(await groups.read(group.name)))
    throw new CroftError('not-found', `there is no group ${group.name}`, { hint: `Make it with these: -new-group ${group.name}` });
  return group?.name;
}

async function addToGroup(name: string, made: readonly SessionView[], { groups }: World): Promise<void> {
  const before = (await groups.read(name))?.instances ?? [];
  await groups.write({ name, instances: [...before, ...made.map(({ id }) => id)] });
}
