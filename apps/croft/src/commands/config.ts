/** `croft config check`: every mistake in a configuration, or what it would build and why. Reads the file itself and asks no farm. */
import { relative } from 'node:path';
import { Option, type Command } from 'commander';
import { declaredMachines, environmentNames, type EnvironmentName, type FarmConfig } from '@croft/config/farm-config';
import type { BuilderGroup, Outlook, TriggerVerdict } from '@croft/config/outlook';
import type { Cli, GlobalOptions, Run } from '@croft/cli/program';
import { addConfigShow } from './config-show.ts';
import { configFile, configNames } from '../config-file.ts';
import { exitCodes } from '@croft/cli/exit-codes';
import { printable } from '@croft/cli/terminal';

interface CheckOptions extends GlobalOptions {
  readonly env: EnvironmentName;
  readonly branch?: string;
}

export function addConfig(program: Command, cli: Cli, run: Run): void {
  const config = program.command('config');
  config
    .command('check [file]')
    .description(`tell every mistake in a configuration, or what it would build and why; ${configNames[0]} by default`)
    .addOption(new Option('--env <name>', 'as it is in this environment').choices(environmentNames).default('local'))
    .option('--branch <name>', 'only what would be built of this branch')
    .addHelpText('after', '\nExit status: 0 it is valid, 1 it has mistakes, 2 there is no such file.')
    .action((file: string | undefined, _, command: Command) => run(() => check(file, command.optsWithGlobals(), cli)));
  addConfigShow(config, cli, run);
}

async function check(given: string | undefined, { env, branch, json }: CheckOptions, { cwd, clock, stdout, stderr }: Cli): Promise<number> {
  // Only here: no other command needs what reads configurations.
  const [{ loadConfigFile }, { mistakeText }, { outlookOf }] = await Promise.all([
    import('@croft/config/read-config'),
    import('@croft/config/mistakes'),
    import('@croft/config/outlook'),
  ]);
  const file = configFile(given, cwd);
  const shown = relative(cwd, file);
  const loaded = await loadConfigFile(file, { environment: env, clock });
  if (loaded.kind === 'mistaken') {
    const mistakes = loaded.mistakes.map((mistake) => ({ ...mistake, file: relative(cwd, mistake.file) }));
    await stdout.write(
      json ? `${JSON.stringify({ valid: false, mistakes })}\n` : mistakes.map((one) => `${printable(mistakeText(one))}\n`).join(''),
    );
    if (!json) await stderr.write(`${shown}: ${mistakes.length === 1 ? '1 mistake' : `${mistakes.length} mistakes`}\n`);
    return exitCodes.failed;
  }
  const outlook = outlookOf(loaded.config, { branch });
  const { hash, config } = loaded;
  await stdout.write(json ? `${JSON.stringify({ valid: true, environment: env, hash, ...outlook })}\n` : outlookText(config, outlook));
  if (!json) await stderr.write(`${shown}: valid for ${env}, hash ${hash}\n`);
  return exitCodes.ok;
}

function outlookText({ repos: configured, builders, pools }: FarmConfig, { repos, idle }: Outlook): string {
  const lines = repos.flatMap(({ name, branches }) => {
    const repo = configured.find((candidate) => candidate.name === name);
    const poll = repo?.pollMs === undefined ? 'looked at when told to' : `looked at every ${repo.pollMs / 1_000} s`;
    return [
      `${name}: the newest ${repo?.depth} commits of each branch, ${poll}`,
      ...branches.flatMap(({ branch, toolchain, groups }) => [
        `  ${branchText(branch)}${toolchain ? `, with ${toolchain.repo}, ${branchText(toolchain.branch)}` : ''}`,
        ...groupLines(groups),
      ]),
    ];
  });
  if (idle.length > 0) lines.push(`never build anything: ${idle.join(', ')}`);
  lines.push(`${builders.length} builders, ${configured.length} repositories, ${declaredMachines(pools)} builds at once`);
  return `${lines.join('\n')}\n`;
}

function branchText(branch: string): string {
  return branch === 'HEAD' ? 'the branch that its HEAD is on' : printable(branch);
}

function groupLines(groups: readonly BuilderGroup[]): string[] {
  if (groups.length === 0) return ['    no builder'];
  return groups.flatMap(({ builders, verdicts }) => [
    `    ${builders.join(', ')}`,
    ...verdicts.map((verdict) => `      ${verdict.allowed ? 'built' : 'not built'} ${occasions[verdict.trigger]}${reason(verdict)}`),
  ]);
}

const occasions = { branch: 'when it is on the branch', change: 'when it is proposed', asked: 'when it is asked for' } as const;

function reason({ rule, why }: TriggerVerdict): string {
  if (rule === undefined) return ', since no rule matches';
  return `, by ${rule}${why === undefined ? '' : `: ${printable(why)}`}`;
}
