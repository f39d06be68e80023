/** What `gomote` completes: instances and builders from the farm, groups from the disk. */
import { completion } from '@croft/cli/completion';
import { builderNames } from './builder-names.ts';
import { openGroups } from './groups.ts';

export const addGomoteCompletion = completion({
  kinds: {
    words: 'instance',
    instance: 'instance',
    builder: 'builder',
    builderenv: 'builder',
    build: 'build',
    group: 'group',
    name: 'group',
    push: 'file',
    output: 'file',
    file: 'file',
  },
  async names(kind, { command }, { client, signal, cli }) {
    switch (kind) {
      case 'builder':
        return (await builderNames(client, { signal })).map((value) => ({ value, about: '' }));
      case 'build': {
        const { builds } = await client.call('builds.list', { query: { limit: 100 }, signal });
        return builds.map(({ id, builder, state }) => ({ value: id, about: `${builder} ${state}` }));
      }
      case 'group':
        return command === 'group create' ? [] : (await openGroups(cli.env).list()).map(({ name }) => ({ value: name, about: '' }));
      default: {
        const { sessions } = await client.call('session.list', { query: { mine: '1' }, signal });
        return sessions.map(({ alias, builder, state }) => ({ value: alias, about: `${builder} ${state}` }));
      }
    }
  },
});
