/** `croft log`: the bytes that a build's commands wrote, as they are. */
import type { Command } from 'commander';
import { parseBuildId } from '@croft/domain/names';
import { CroftError } from '@croft/runtime/errors';
import type { Client } from '@croft/web/client';
import type { Cli, GlobalOptions, Run } from '@croft/cli/program';
import { hasPassed } from '../build-text.ts';
import { connect } from '@croft/cli/connect';
import { exitCodes } from '@croft/cli/exit-codes';
import { followBuild, type LogSink } from '../follow-build.ts';

interface LogOptions extends GlobalOptions {
  readonly follow?: boolean;
  readonly attempt?: string;
  readonly from: string;
  readonly exitStatus?: boolean;
}

export function addLog(program: Command, cli: Cli, run: Run): void {
  program
    .command('log <build>')
    .option('-f, --follow', 'go on until the build has ended, over restarts of the farm and new attempts')
    .option('--attempt <n>', 'of this attempt only')
    .option('--from <offset>', 'from this byte on', '0')
    .option('--exit-status', 'exit with 1 when the build did not pass')
    .addHelpText('after', help)
    .action((id: string, _, command: Command) => run(() => showLog(id, command.optsWithGlobals(), cli)));
}

const help = `
  croft log B35fab4cf3f0ef9e6 | less -R
  croft log -f --exit-status B35fab4cf3f0ef9e6 && deploy

With --json each piece is a line {"attempt","from","b64"}. Exit status: 0 it is printed, 1 with --exit-status when the build did not pass.`;

async function showLog(id: string, { follow, attempt, from, exitStatus, ...given }: LogOptions, cli: Cli): Promise<number> {
  const build = parseBuildId(id);
  const start = { attempt: attempt === undefined ? undefined : whole(attempt, '--attempt', 1), from: whole(from, '--from', 0) };
  const client = await connect(given, cli);
  const toSink = given.json ? jsonLines : verbatim;
  const ended = follow
    ? await followBuild(client, build, { ...start, cli, toSink })
    : await printLog(client, build, { ...start, sink: toSink((data) => cli.stdout.write(data)) });
  return exitStatus && !ended ? exitCodes.failed : exitCodes.ok;
}

interface PrintOptions {
  readonly attempt: number | undefined;
  readonly from: number;
  readonly sink: LogSink;
}

/** @returns whether it has passed */
async function printLog(client: Client, build: string, { attempt, from, sink }: PrintOptions): Promise<boolean> {
  const detail = await client.call('build.get', { params: { build } });
  const number = attempt ?? detail.attempts;
  if (number === 0) throw new CroftError('conflict', `build ${build} has not started yet`, { hint: 'croft log -f waits for it.' });
  let at = from;
  for await (const bytes of client.readLog({ build, attempt: number, from })) {
    await sink(bytes, number, at);
    at += bytes.length;
  }
  return hasPassed(detail);
}

type Write = (data: Uint8Array | string) => Promise<void>;

function verbatim(write: Write): LogSink {
  return (bytes) => write(bytes);
}

function jsonLines(write: Write): LogSink {
  return (bytes, attempt, from) => write(`${JSON.stringify({ attempt, from, b64: Buffer.from(bytes).toString('base64') })}\n`);
}

function whole(text: string, option: string, least: number): number {
  if (!/^\d{1,15}$/.test(text) || Number(text) < least)
    throw new CroftError('invalid', `${option} ${JSON.stringify(text)} is not a whole number from ${least} on`);
  return Number(text);
}
