/** The configuration as it was loaded: defaults filled in, matrices spread, secrets left out. For operators. */
import { html } from 'hono/html';
import { formatBytes, formatDuration } from '@croft/web/html/format';
import { bdi, instant, plain, plural, type Html } from '@croft/web/html/markup';
import { declaredMachines } from '@croft/config/farm-config';
import type { Configuration } from '../capabilities.ts';
import type { ShownConfig } from '../configuration/shown-config.ts';
import { configurationNotices } from './farm-page.ts';
import { builderUrl, listTable as table, repoUrl, section } from './list-table.ts';

export interface ConfigPageView extends Configuration {
  readonly now: number;
}

export function configPage(view: ConfigPageView): Html {
  return html`<h1 class="unseen">Configuration</h1>${configFragment(view)}`;
}

export function configFragment({ state, settings, now }: ConfigPageView): Html {
  const { repos, builders, pools, hostTypes, policies, dependents, secrets } = settings;
  return html`<div id="config" class="live farm" data-live="farm" hx-get="/config" hx-trigger="croft:changed" hx-ext="morph" hx-swap="morph">
${configurationNotices(state, now)}
<dl class="facts">
<div><dt>Environment</dt><dd>${state.environment} <small>${state.file === undefined ? 'not from a file' : bdi(state.file)}</small></dd></div>
<div><dt>Loaded</dt><dd>${instant(state.loadedAt, now)} <small><a href="/api/v1/config">as JSON</a></small></dd></div>
<div><dt>Builders</dt><dd>${builders.length} <small>${plural(repos.length, 'repository', 'repositories')}</small></dd></div>
<div><dt>Machines</dt><dd>${declaredMachines(pools)} <small>${plural(pools.length, 'pool')}</small></dd></div>
</dl>
${section('Settings', settingNames.length, [head(settings), ''])}
${section('Repositories', repos.length, [repositories(repos), 'No repository is farmed.'])}
${section('Builders', builders.length, [builderTable(builders), 'Nothing is built.'])}
${section('Policies', policies.length, [policyTable(policies), 'What builders list is built.'])}
${section('Dependents', dependents.length, [dependentTable(dependents), 'No repository is built with another one.'])}
${section('Pools', pools.length, [poolTable(pools), 'No machine is declared.'])}
${section('Host types', hostTypes.length, [hostTable(hostTypes), 'Only that of this machine.'])}
${section('Secrets', secrets.length, [secretTable(secrets), 'No step is given a secret.'])}
</div>`;
}

const none = html`<span class="dim">–</span>`;

function words(values: readonly string[], otherwise: Html | string = none): Html {
  if (values.length === 0) return html`${otherwise}`;
  return html`${values.map((value, at) => html`${at > 0 ? ', ' : ''}${bdi(value)}`)}`;
}

const settingNames = [
  'dataDir',
  'databaseUrl',
  'durability',
  'host',
  'port',
  'publicHosts',
  'tls',
  'behindProxy',
  'anonymous',
  'ssh',
  'logLevel',
  'logFile',
  'lowWaterBytes',
  'outputLimitBytes',
  'cacheBytes',
  'goBuilderKeys',
] as const;

function head({ tls, ssh, compat, ...settings }: ShownConfig): Html {
  const { databaseSecret, databaseUrl, lowWaterBytes, outputLimitBytes, cacheBytes } = settings;
  const shown: Record<(typeof settingNames)[number], unknown> = {
    ...settings,
    tls: tls && `${tls.certFile}, ${tls.keyFile}`,
    ssh: ssh && `${ssh.host}:${ssh.port}`,
    goBuilderKeys: compat.goBuilderKeys,
    databaseUrl: databaseSecret === undefined ? databaseUrl : `secret ${databaseSecret}`,
    lowWaterBytes: formatBytes(lowWaterBytes),
    outputLimitBytes: formatBytes(outputLimitBytes),
    cacheBytes: formatBytes(cacheBytes),
  };
  const rows = settingNames.map((name) => [html`<code>${name}</code>`, valueOf(shown[name])]);
  return table(['Setting', 'Value'], rows, 'Settings');
}

function valueOf(value: unknown): Html {
  if (value === undefined) return none;
  if (Array.isArray(value)) return words(value.map(String));
  return typeof value === 'boolean' ? html`${value ? 'yes' : 'no'}` : bdi(String(value));
}

function repositories(repos: ShownConfig['repos']): Html {
  const rows = repos.map(({ name, url, branches, depth, pollMs, paths, hookSecret }) => [
    html`<a href="${repoUrl(name)}">${bdi(name)}</a>`,
    bdi(url),
    words(branches, 'that of its HEAD'),
    `${depth}`,
    pollMs === undefined ? 'when told' : `every ${formatDuration(pollMs)}`,
    words(paths, 'all'),
    hookSecret === undefined ? none : bdi(hookSecret),
  ]);
  return table(['Repository', 'From', 'Branches', 'Depth', 'Looked at', 'Paths', 'Hook secret'], rows, 'Repositories');
}

function builderTable(builders: ShownConfig['builders']): Html {
  const rows = builders.map((builder) => [
    html`<a href="${builderUrl(builder.name)}">${bdi(builder.name)}</a>`,
    html`${words(builder.repos)}${builder.branches.length > 0 ? html` <span class="dim">on</span> ${words(builder.branches)}` : ''}${builder.paths.length > 0 ? html` <span class="dim">for</span> ${words(builder.paths)}` : ''}`,
    builder.needs.labels.length === 0
      ? 'any machine'
      : html`${builder.needs.labels.map((label) => html`<span class="label">${bdi(label)}</span> `)}`,
    builder.priority,
    steps(builder.steps),
    variables(builder),
    html`${builder.knownIssues.length === 0 ? none : builder.knownIssues.map((address) => html`<a href="${address}" rel="noreferrer">${bdi(address)}</a> `)}`,
  ]);
  return table(['Builder', 'Builds', 'Needs', 'Priority', 'Steps', 'Variables', 'Known issues'], rows, 'Builders');
}

function steps(all: ShownConfig['builders'][number]['steps']): Html {
  if (all === 'detect') return html`found in each commit`;
  return html`${all.map(({ name, argv }) => html`<div>${bdi(name)} <code class="dim">${plain(argv.join(' ').slice(0, 200))}</code></div>`)}`;
}

/** Their values stand in the JSON. */
function variables({ env, secrets }: Pick<ShownConfig['builders'][number], 'env' | 'secrets'>): Html {
  const names = Object.keys(env);
  const secret = Object.entries(secrets).map(([variable, name]) => (variable === name ? name : `${variable} (${name})`));
  return html`${words(names)}${secret.length > 0 ? html` <span class="dim">secret</span> ${words(secret)}` : ''}`;
}

function policyTable(policies: ShownConfig['policies']): Html {
  const lists = ['builders', 'repos', 'branches', 'toolchainBranches', 'paths', 'triggers', 'tests'] as const;
  const rows = policies.map((rule, at) => {
    const parts = lists
      .filter((list) => rule[list].length > 0)
      .map((list) => html`<div><span class="dim">${list}</span> ${words(rule[list])}</div>`);
    return [
      `policies.${at}`,
      rule.allow ? 'allows' : 'denies',
      parts.length > 0 ? html`${parts}` : 'everything',
      rule.why === undefined ? none : bdi(rule.why),
    ];
  });
  return table(['Rule', 'Says', 'Of', 'Why'], rows, 'Policies, in the order in which they are asked');
}

function dependentTable(dependents: ShownConfig['dependents']): Html {
  const rows = dependents.map(({ toolchain, repos, branches }) => [bdi(toolchain), words(branches, 'that of its HEAD'), words(repos)]);
  return table(['Toolchain', 'Branches', 'Built with it'], rows, 'Dependents');
}

function poolTable(pools: ShownConfig['pools']): Html {
  const rows = pools.map((pool) => [
    bdi(pool.name),
    pool.kind,
    `${declaredMachines([pool])}${pool.kind !== 'reverse' && pool.forSessions > 0 ? ` and ${pool.forSessions} for sessions` : ''}`,
    bdi(pool.hostType),
    html`${pool.labels.map((label) => html`<span class="label">${bdi(label)}</span> `)}`,
    ownSettings(pool),
    pool.kind === 'reverse' ? html`<span class="dim">as they are set up</span>` : formatDuration(pool.orphanedMs),
  ]);
  return table(['Pool', 'Kind', 'Machines', 'Host type', 'Labels', 'Made of', 'Orphaned after'], rows, 'Pools');
}

function ownSettings(pool: ShownConfig['pools'][number]): Html {
  switch (pool.kind) {
    case 'local':
      return html`processes`;
    case 'docker':
      return html`${bdi(pool.image)} <span class="dim">network</span> ${bdi(pool.network)}`;
    case 'reverse':
      return html`machines that dial in`;
    default:
      return pool satisfies never;
  }
}

function hostTable(hostTypes: ShownConfig['hostTypes']): Html {
  const rows = hostTypes.map(({ name, labels, tools, env, owners, notes }) => [
    bdi(name),
    words(labels),
    words(tools),
    words(Object.keys(env)),
    words(owners),
    bdi(notes),
  ]);
  return table(['Host type', 'Labels', 'Tools', 'Variables', 'Owners', 'Notes'], rows, 'Host types');
}

function secretTable(secrets: ShownConfig['secrets']): Html {
  const rows = secrets.map(({ name, from }) => [bdi(name), 'env' in from ? html`variable ${bdi(from.env)}` : html`file ${bdi(from.file)}`]);
  return table(['Secret', 'From'], rows, 'Secrets');
}
