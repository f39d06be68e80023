/** `croft retrybuilds`: clears failures so that they are built again, chosen as the originals' program does (coordinator.md 9.7). */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { CroftError } from '@croft/runtime/errors';
import type { Cli, GlobalOptions, Run } from '@croft/cli/program';
import { locate } from '@croft/cli/connect';
import { printable, table, type Output } from '@croft/cli/terminal';
import { chooseFailures, chosenAction, type ActionOptions, type Chosen } from './retrybuilds-choice.ts';
import { openFarm, type FarmOfResults } from './retrybuilds-farm.ts';
import { parseFlakyRules } from './retrybuilds-flaky.ts';
import { readKeys, type KeyOptions } from './retrybuilds-keys.ts';
import { flakyRules, type FlakyRule } from './retrybuilds-rules.ts';

interface RetryOptions extends GlobalOptions, ActionOptions, KeyOptions {
  readonly dryRun?: boolean;
  readonly builderPrefix?: string;
  readonly staging?: boolean;
  readonly grpcHost?: string;
  readonly branch: string;
  readonly repo?: string;
  readonly rules?: string;
  readonly broad?: boolean;
  readonly printRules?: boolean;
}

export function addRetrybuilds(program: Command, cli: Cli, run: Run): void {
  program
    .command('retrybuilds')
    .option('--loghash <prefix>', 'the failures whose log has this hash')
    .option('--substr <text>', 'the failures whose log has this text')
    .option('--redo-flaky', 'the failures that a rule takes for flakes')
    .option('--builder <name>', 'all failures of a builder; limits --substr and --redo-flaky')
    .option('--hash <revision>', 'with --builder: this commit alone; may be short')
    .option('--branch <name>', 'where failures are looked for', 'master')
    .option('--repo <name>', 'of this repository; the main one by default')
    .option('--dry-run', 'show what would be cleared and why; change nothing')
    .option('--rules <file>', 'rules for --redo-flaky in place of the own ones')
    .option('--broad', 'use rules that also hit genuine failures')
    .option('--print-rules', 'print the rules, in the form that --rules reads')
    .option('--builder-prefix <url>', 'the farm, in the originals’ word for --server')
    .option('--staging', 'the farm that CROFT_STAGING_SERVER names')
    .option('--masterkey <file>', 'master key of builders; ~/keys/gobuilder-master.key where it is there and no token is')
    .option('--key <file>', 'key of one builder')
    .option('--sendmaster', 'show the master key itself, also for a builder whose own key is revoked')
    .option('--grpc-host <host:port>', 'clear over gRPC, with a key')
    .action((_, command: Command) => run(() => retryBuilds(command.optsWithGlobals(), cli)));
}

async function retryBuilds(options: RetryOptions, cli: Cli): Promise<void> {
  const rules = (await readRules(options.rules, cli.cwd)).filter(({ broad = false }) => options.printRules || options.broad || !broad);
  if (options.printRules) return cli.stdout.write(`${JSON.stringify({ rules }, null, 2)}\n`);
  const action = chosenAction(options);
  const farm = await farmOf(options, cli);
  const chosen = await chooseFailures(action, farm, rules);
  if (!options.json) await cli.stdout.write(chosen.length === 0 ? '' : preview(chosen, cli.stdout));
  if (!options.dryRun) await clearAll(chosen, farm);
  if (options.json)
    return cli.stdout.write(`${JSON.stringify({ dryRun: options.dryRun ?? false, wiped: chosen.length, failures: chosen })}\n`);
  await cli.stderr.write(`${options.dryRun ? 'would have wiped' : 'wiped'} ${chosen.length} matching failures\n`);
}

async function readRules(file: string | undefined, cwd: string): Promise<readonly FlakyRule[]> {
  if (file === undefined) return flakyRules;
  const path = resolve(cwd, file);
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new CroftError('invalid', `reading the rules ${path}`, { cause: error, hint: 'Name a file that you can read.' });
  });
  return parseFlakyRules(text, path);
}

async function farmOf({ builderPrefix, staging, grpcHost, repo, branch, ...options }: RetryOptions, cli: Cli): Promise<FarmOfResults> {
  const { env, clock, stderr } = cli;
  if (staging && env['CROFT_STAGING_SERVER'] === undefined)
    throw new CroftError('invalid', '--staging: CROFT_STAGING_SERVER names no farm', { hint: 'Set it, or name the farm with --server.' });
  const { server, token } = await locate(
    { ...options, server: builderPrefix ?? (staging ? env['CROFT_STAGING_SERVER'] : options.server) },
    cli,
  );
  const asked = [options.masterkey, options.key, options.sendmaster].some((option) => option !== undefined) || token === undefined;
  const keyOf = asked ? await readKeys(options, env['HOME']) : undefined;
  if (grpcHost !== undefined && !keyOf)
    throw new CroftError('invalid', '--grpc-host: there is no builder key to show', { hint: 'Name one with --key or --masterkey.' });
  if (grpcHost !== undefined && repo !== undefined)
    throw new CroftError('invalid', '--grpc-host clears results of the main repository alone', {
      hint: 'Leave out --repo or --grpc-host.',
    });
  const onRetry = (why: string): void => void stderr.write(`croft: ${why}\n`).catch(() => {});
  return openFarm({ prefix: server.replace(/\/+$/, ''), token, keyOf, grpcHost, repo, branch, clock, onRetry });
}

/** What fails for one ends it: what was cleared by then stays cleared, and the next run finds the rest. */
async function clearAll(chosen: readonly Chosen[], farm: FarmOfResults): Promise<void> {
  for (const failure of chosen) await farm.clear(failure);
}

function preview(chosen: readonly Chosen[], output: Output): string {
  const rows = chosen.map(({ builder, hash, why, log }) => [
    { text: printable(builder) },
    { text: printable(hash).slice(0, 12) },
    { text: printable(why) },
    { text: printable(log) },
  ]);
  return table(rows, output);
}
