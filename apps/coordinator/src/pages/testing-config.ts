/** A configuration with a bit of everything, as operators see it. */
import { readConfig } from '@croft/config/read-config';
import type { Configuration } from '../capabilities.ts';
import { shownConfig } from '../configuration/shown-config.ts';
import { testFarm } from './testing-views.ts';

export function testConfiguration(): Configuration {
  const settings = readConfig(
    {
      dataDir: '/var/lib/croft',
      databaseUrl: 'postgres://croft:database-password@db/croft',
      publicHosts: ['ci.example.com'],
      secrets: [
        { name: 'npm', env: 'NPM_TOKEN' },
        { name: 'hooks', file: '/run/secrets/hooks' },
      ],
      repos: [
        {
          name: 'app',
          url: 'https://ci:fetch-password@git.example.com/team/app.git',
          branches: ['main', 'release/*'],
          hookSecret: 'hooks',
        },
        { name: 'compiler', url: 'https://git.example.com/team/compiler.git', pollMs: 'never', paths: ['**', '!docs/**'] },
      ],
      dependents: [{ toolchain: 'compiler', repos: ['app'], branches: ['main', 'next'] }],
      hostTypes: [{ name: 'linux-x64', labels: ['linux'], env: { LANG: 'C.UTF-8' }, owners: ['platform team'], notes: 'two racks' }],
      pools: [{ kind: 'local', size: 4, hostType: 'linux-x64' }],
      builders: [
        {
          name: 'unit',
          repo: 'app',
          hostType: 'linux-x64',
          matrix: { axes: { node: [22, 24] } },
          steps: [
            { name: 'install', role: 'setup', argv: ['npm', 'ci'] },
            { name: 'test', argv: ['npm', 'test', '--', '--password', 'known-to-the-farm'] },
          ],
          env: {
            SLOW: '1',
            DEPLOY_TOKEN: 'written-where-it-should-not',
            SIGNING_KEY: 'key-in-the-open',
            PGPASS: 'pass-in-the-open',
            DATABASE_URL: 'postgres://test:address-in-the-open@localhost/test',
          },
          services: [{ name: 'db', argv: ['serve'], env: { DB_PASS: 'service-in-the-open' } }],
          secrets: { NPM_TOKEN: 'npm' },
          knownIssues: ['https://git.example.com/team/app/issues/7'],
        },
        { name: 'self', repos: ['compiler', 'app'], branches: 'main', paths: ['src/**'], priority: 'release' },
      ],
      policies: [
        { allow: true, triggers: ['asked'], why: 'people get what they ask for' },
        { allow: false, paths: 'docs/**', why: 'only words have changed' },
      ],
    },
    { environment: 'production' },
  );
  const { config: state } = testFarm();
  return { state, settings: shownConfig(settings, (text) => text.replaceAll('known-to-the-farm', '*****')) };
}
