/** What a builder does with the tree of here: its configuration, the job that a farm would make of it, the exact files, the secrets. */
import { join } from 'node:path';
import type { FarmConfig } from '@croft/config/farm-config';
import { keepSecrets, type SecretKeeper } from '@croft/config/keep-secrets';
import { loadConfigFile, readConfig } from '@croft/config/read-config';
import { mistakesError } from '@croft/config/mistakes';
import { resolveSecrets } from '@croft/config/secrets';
import type { EnvironmentName } from '@croft/config/farm-config';
import type { Builder, Job } from '@croft/domain/job';
import type { RepoName } from '@croft/domain/names';
import { planJob, planSteps } from '@croft/domain/plan-steps';
import { parseRepositoryUrl, suggestedName } from '@croft/forge/repository-url';
import { openWorkingTree, type WorkingTree } from '@croft/forge/working-tree';
import { CroftError } from '@croft/runtime/errors';
import type { Waits } from '@croft/runtime/clock';
import type { Cli } from '@croft/cli/program';
import { findConfig } from '../config-file.ts';
import { committedSource, toolchainSource, workingSource, type LocalSource, type SourceNeeds } from './local-source.ts';

export interface LocalWanted {
  readonly builder: string;
  readonly config: string | undefined;
  readonly environment: EnvironmentName;
  /** What HEAD holds instead of what lies on the disk. */
  readonly committed: boolean;
}

export interface LocalPlan extends AsyncDisposable {
  /** A string says why there is nothing to be done. */
  readonly planned: { readonly job: Job; readonly reason: string } | string;
  readonly secrets: SecretKeeper;
  readonly outputLimitBytes: number;
  readonly notes: readonly string[];
  /** The first is the one that is tested. */
  readonly sources: readonly LocalSource[];
}

/** @param dir a directory of ours, for git @throws CroftError `invalid` for a builder or secret that is not there */
export async function planLocal(wanted: LocalWanted, cli: Cli, { dir, signal }: Waits & { dir: string }): Promise<LocalPlan> {
  const { clock, env } = cli;
  const git = { gitHome: join(dir, 'git'), clock, path: env['PATH'] };
  const working = await openWorkingTree({ dir: cli.cwd, userHome: env['HOME'], ...git }, { signal });
  const config = await configOf(wanted, working, cli, { signal });
  const builder = builderOf(config, wanted.builder);
  const secrets = keepSecrets(await resolveSecrets(sourcesFor(config, builder), env));
  const repo = repoOf(builder, working);
  await using stack = new AsyncDisposableStack();
  const needs: SourceNeeds = { builder, dir, git, stack, signal };
  const own = wanted.committed ? await committedSource(repo, working, needs) : workingSource(repo, working, needs);
  const toolchain = await toolchainSource(repo, config, needs);
  const sources = toolchain ? [own, toolchain] : [own];
  const plan = await planSteps(builder, own.tree);
  const origin = { revisions: sources.map(({ revision }) => revision), trigger: { kind: 'asked', ref: 'local' } } as const;
  const owned = stack.move();
  return {
    planned: typeof plan === 'string' ? plan : { job: planJob(builder, { steps: plan.steps, ...origin }), reason: plan.reason },
    sources,
    secrets,
    outputLimitBytes: config.outputLimitBytes,
    notes: notesOf(builder, wanted),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** The operator's file, else what `npm start` does with a repository: one builder that finds its steps. */
async function configOf(
  { config, environment, builder }: LocalWanted,
  { root }: WorkingTree,
  { cwd, clock }: Cli,
  { signal }: Waits,
): Promise<FarmConfig> {
  const file = findConfig(config, cwd) ?? findConfig(undefined, root);
  if (file !== undefined) {
    const loaded = await loadConfigFile(file, { environment, clock, signal });
    if (loaded.kind === 'mistaken') throw mistakesError(file, loaded.mistakes);
    return loaded.config;
  }
  if (builder === 'ci')
    return readConfig({ dataDir: root, repos: [{ name: 'repo', url: root }], builders: [{ name: 'ci', repo: 'repo' }] });
  throw new CroftError('invalid', `there is no configuration that could have the builder ${JSON.stringify(builder)}`, {
    hint: 'Name one with --config, write one with "croft init", or run "ci", which finds its steps in the tree.',
  });
}

function builderOf({ builders }: FarmConfig, name: string): Builder {
  const found = builders.find((builder) => builder.name === name);
  if (found) return found;
  throw new CroftError('invalid', `there is no builder ${JSON.stringify(name)}`, {
    hint: `There are: ${builders.map((builder) => builder.name).join(', ') || 'none'}`,
  });
}

/** Only what this builder is given has to be here. */
function sourcesFor({ secrets }: FarmConfig, { secrets: own, steps }: Builder): FarmConfig['secrets'] {
  const all = [own, ...(steps === 'detect' ? [] : steps.map((step) => step.secrets ?? {}))];
  const names = new Set(all.flatMap((variables) => Object.values(variables)));
  return secrets.filter(({ name }) => names.has(name));
}

/** The directory that the tree lies in has this name, as on the farm. */
function repoOf({ repos }: Builder, { origin, root }: WorkingTree): RepoName {
  const here = suggestedName({ shown: origin === undefined ? root : parseRepositoryUrl(origin).shown });
  const named = repos.find((repo) => repo === here) ?? repos[0];
  if (named === undefined) throw new CroftError('invalid', 'the builder builds no repository');
  return named;
}

function notesOf({ isolation, needs, artifacts, caches, services, checkout }: Builder, { committed }: LocalWanted): string[] {
  return [
    ...(isolation === 'none' ? [] : [`the builder asks for isolation by a ${isolation}, and here everything runs as you`]),
    ...(needs.labels.length === 0
      ? []
      : [`the builder needs a machine with the labels ${needs.labels.join(', ')}; this one is taken as it is`]),
    ...(artifacts.length === 0 ? [] : ['artifacts are not kept']),
    ...(services.length === 0 ? [] : [`services are not started: ${services.map(({ name }) => name).join(', ')}`]),
    ...(caches.length === 0 ? [] : ['caches are neither restored nor saved']),
    ...(checkout.git && !committed ? ['the .git that the builder asks for comes with --committed only'] : []),
  ];
}
