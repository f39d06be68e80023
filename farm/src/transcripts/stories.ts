/** The stories, by the name that their transcripts begin with. Each is played by a client of its own, whose module may be another version's. */
import type { BuildletAddress, createBuildlet } from '@croft/buildlet/client';
import type { createGoClient } from '@croft/buildlet/go-client';
import { systemClock } from '@croft/runtime/clock';
import { playGoStory } from './go-story.ts';
import { playStory } from './story.ts';

export interface Story {
  /** Of packages/buildlet. */
  readonly door: string;
  /** What came of each step. */
  play(client: object, address: BuildletAddress, version: string): Promise<Record<string, unknown>>;
}

const clock = systemClock;

export const stories: Readonly<Record<string, Story>> = {
  runs: {
    door: 'client',
    async play(client, address, version) {
      await using buildlet = (client as { createBuildlet: typeof createBuildlet }).createBuildlet(address, { clock });
      return await playStory(buildlet, version);
    },
  },
  go: {
    door: 'go-client',
    async play(client, address) {
      await using machine = (client as { createGoClient: typeof createGoClient }).createGoClient(address, { clock });
      return await playGoStory(machine);
    },
  },
};
