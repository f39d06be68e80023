/** What the stories ask a farm about its builds, through the same API as everybody. */
import type { BuildDetail, BuildList, BuildSummary } from '@croft/protocol/api';
import type { TestFarm, Waiting } from './testing.ts';

/** Newest first. */
export async function listBuilds(farm: TestFarm): Promise<BuildSummary[]> {
  return (await farm.api<BuildList>('GET', '/api/v1/builds?limit=500')).builds;
}

export function getBuild(farm: TestFarm, id: string): Promise<BuildDetail> {
  return farm.api('GET', `/api/v1/builds/${id}`);
}

/** Waits until as many are known; without a number, for the only one. */
export function foundBuilds(farm: TestFarm, count: number, waiting?: Waiting): Promise<BuildSummary[]> {
  const probe = async (): Promise<BuildSummary[] | undefined> => {
    const builds = await listBuilds(farm);
    return builds.length >= count ? builds : undefined;
  };
  return farm.waitFor(`${count} builds`, probe, waiting);
}

export async function onlyBuild(farm: TestFarm, waiting?: Waiting): Promise<BuildSummary> {
  const [build] = await foundBuilds(farm, 1, waiting);
  return build as BuildSummary;
}

export function endedBuild(farm: TestFarm, id: string, waiting?: Waiting): Promise<BuildDetail> {
  return buildThat(farm, id, { what: 'has ended', is: (build) => build.state === 'ended', ...waiting });
}

export interface Expected extends Waiting {
  readonly what: string;
  is(build: BuildDetail): boolean;
}

export function buildThat(farm: TestFarm, id: string, { what, is, ...waiting }: Expected): Promise<BuildDetail> {
  const probe = async (): Promise<BuildDetail | undefined> => {
    const build = await getBuild(farm, id);
    return is(build) ? build : undefined;
  };
  return farm.waitFor(`build ${id} that ${what}`, probe, waiting);
}

/** The stored bytes of one attempt's log. */
export async function logOf(farm: TestFarm, id: string, attempt = 1): Promise<Buffer> {
  const response = await fetch(`${farm.url}/builds/${id}/attempts/${attempt}/log`);
  if (!response.ok) throw new Error(`the log of ${id}.${attempt} was refused with ${response.status}: ${await response.text()}`);
  return Buffer.from(await response.arrayBuffer());
}
