/** `croft artifacts`: what a build has left behind, listed or downloaded. */
import { createHash } from 'node:crypto';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, resolve, sep } from 'node:path';
import type { Command } from 'commander';
import { parseBuildId } from '@croft/domain/names';
import type { ArtifactFileView, ArtifactView } from '@croft/protocol/artifacts';
import { CroftError } from '@croft/runtime/errors';
import type { Client } from '@croft/web/client';
import { formatBytes } from '@croft/web/html/format';
import type { Cli, GlobalOptions, Run } from '@croft/cli/program';
import { connect } from '@croft/cli/connect';
import { exitCodes } from '@croft/cli/exit-codes';
import { printable, table, type Cell } from '@croft/cli/terminal';

interface ArtifactsOptions extends GlobalOptions {
  readonly get?: boolean;
  readonly to?: string;
  readonly attempt?: string;
  readonly name?: string;
}

export function addArtifacts(program: Command, cli: Cli, run: Run): void {
  program
    .command('artifacts <build>')
    .option('--get', 'download the files, checked against their hashes')
    .option('--to <dir>', 'into this directory, as NAME/PATH; one called after the build by default')
    .option('--attempt <n>', 'of this attempt instead of the last one that left something')
    .option('--name <artifact>', 'of this artifact only')
    .addHelpText('after', '\nWith --get the exit status is 1 when there is nothing to download.')
    .action((id: string, _, command: Command) => run(() => showArtifacts(id, command.optsWithGlobals(), cli)));
}

async function showArtifacts(id: string, { get, to, attempt, name, ...given }: ArtifactsOptions, cli: Cli): Promise<number> {
  const build = parseBuildId(id);
  const client = await connect(given, cli);
  const { artifacts } = await client.call('build.artifacts', { params: { build } });
  const wanted = attempt === undefined ? artifacts.at(-1)?.attempt : Number(attempt);
  const chosen = artifacts.filter((artifact) => artifact.attempt === wanted && artifact.name === (name ?? artifact.name));
  if (get) return download(chosen, { build, client, cli, json: given.json, dir: resolve(cli.cwd, to ?? build) });
  if (given.json) await cli.stdout.write(`${JSON.stringify({ artifacts: chosen })}\n`);
  else if (chosen.length === 0) await cli.stderr.write('no artifacts\n');
  else await cli.stdout.write(table(chosen.flatMap(rows), cli.stdout));
  return exitCodes.ok;
}

function rows({ name, state, why, files, bytes, fileList }: ArtifactView): Cell[][] {
  const said = {
    kept: `${files} files`,
    missing: 'missing',
    refused: `not kept: ${printable(why ?? '')}`,
    expired: 'removed by retention',
  }[state];
  const style = state === 'kept' ? 'bold' : state === 'expired' ? 'gray' : 'yellow';
  const list = fileList.map((file): Cell[] => [
    { text: `  ${printable(file.path)}` },
    { text: formatBytes(file.bytes) },
    { text: file.sha256.slice(0, 12), style: 'gray' },
  ]);
  return [[{ text: printable(name), style }, { text: state === 'kept' ? formatBytes(bytes) : '' }, { text: said, style: 'gray' }], ...list];
}

interface Download {
  readonly build: string;
  readonly client: Client;
  readonly cli: Cli;
  readonly json: boolean | undefined;
  readonly dir: string;
}

async function download(artifacts: readonly ArtifactView[], { build, client, cli, json, dir }: Download): Promise<number> {
  using interruption = cli.interruption();
  const { signal } = interruption;
  const files: string[] = [];
  for (const { name: artifact, attempt, fileList } of artifacts) {
    for (const file of fileList) {
      const path = placeIn(placeIn(dir, artifact), file.path);
      await writeChecked(path, file, client.readArtifact({ build, attempt, artifact, path: file.path }, { signal }));
      await cli.stderr.write(`${printable(path)}  ${formatBytes(file.bytes)}\n`);
      files.push(path);
    }
  }
  if (json) await cli.stdout.write(`${JSON.stringify({ files })}\n`);
  if (files.length === 0) await cli.stderr.write('nothing to download\n');
  return files.length === 0 ? exitCodes.failed : exitCodes.ok;
}

/** @throws CroftError `invalid` for a path that would leave the directory: whoever named it is not trusted */
function placeIn(dir: string, path: string): string {
  const place = resolve(dir, path);
  if (place.startsWith(dir + sep) && !path.includes('\0')) return place;
  throw new CroftError('invalid', `the farm names a file ${JSON.stringify(path)}, which would leave ${dir}`);
}

/** Stands there whole or not at all. */
async function writeChecked(path: string, { sha256, mode }: ArtifactFileView, content: AsyncIterable<Uint8Array>): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const draft = `${path}.part`;
  const hash = createHash('sha256');
  try {
    {
      await using file = await open(draft, 'w', 0o600);
      for await (const piece of content) {
        hash.update(piece);
        for (let at = 0; at < piece.length;) at += (await file.write(piece, at)).bytesWritten;
      }
      if (hash.digest('hex') !== sha256)
        throw new CroftError('unavailable', `download ${path}: what came is not what was kept`, { hint: 'Try again.' });
      await file.chmod(mode & 0o755);
    }
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}
