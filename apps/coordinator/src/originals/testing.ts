/** A dashboard and a farmer for tests of others: what they tell can be set, what they are asked to change is not done. */
import { parseRepoName } from '@croft/domain/names';
import { CroftError } from '@croft/runtime/errors';
import type { Dashboard } from './dashboard.ts';
import type { Farmer } from './farmer.ts';
import { createPackages } from './packages.ts';
import type { ResultPage, ResultsQuery } from './read-results.ts';

export interface FakeOriginals {
  readonly dashboard: Dashboard & { page: ResultPage; readonly asked: ResultsQuery[] };
  farmer: Farmer;
}

export function fakeOriginals(): FakeOriginals {
  const refuse = async (): Promise<never> => {
    throw new CroftError('unavailable', 'nothing is changed in this test');
  };
  return {
    dashboard: {
      packages: createPackages([parseRepoName('go'), parseRepoName('net')]),
      page: { builders: [], rows: [] },
      asked: [],
      async results(query) {
        this.asked.push(query);
        return this.page;
      },
      report: refuse,
      clear: refuse,
      commit: refuse,
      addCommit: refuse,
      mark: () => undefined,
      active: async () => [],
    },
    farmer: { hosts: async () => ({}), builders: {}, hostTypes: {} },
  };
}
