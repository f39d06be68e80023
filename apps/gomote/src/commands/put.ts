/** `gomote put` and `puttar`: single files and archives to machines. */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, posix, resolve } from 'node:path';
import type { Command } from 'commander';
import { CroftError, errorText } from '@croft/runtime/errors';
import type { Cli, Run } from '@croft/cli/program';
import { onEach } from '../each-machine.ts';
import { chooseInstances } from '../instances.ts';
import { archiveOfCommit, isCommit } from '../commit-archive.ts';
import { patiently, sendPatiently } from '../patience.ts';
import { openReusable, type Reusable } from '../reusable-input.ts';
import { countedBytes } from '../transfer.ts';
import { anyEpoch, openWorld, type GomoteOptions, type Machine } from '../world.ts';

interface PutOptions extends GomoteOptions {
  readonly mode?: string;
}

interface PutTarOptions extends GomoteOptions {
  readonly dir: string;
  readonly url?: string;
  readonly gorev?: string;
}

export function addPut(program: Command, cli: Cli, run: Run): void {
  program
    .command('put <words...>')
    .usage('[options] [instance] <source|-> [destination]')
    .option('--mode <octal>', 'its mode; that of the source by default, 0666 for standard input')
    .addHelpText('after', '\n  gomote put ann-linux-0 tool bin/tool\n  echo hello | gomote put ann-linux-0 - hello.txt')
    .action((words: string[], _, command: Command) => run(() => put(words, command.optsWithGlobals(), cli)));
  program
    .command('puttar [words...]')
    .usage('[options] [instance] [source]')
    .option('--dir <dir>', 'below this directory', '.')
    .option('--url <url>', 'the machine fetches it there; the same as naming it as the source')
    .option('--gorev <commit>', 'a commit of Go’s repository here, with the VERSION that its build wants')
    .addHelpText('after', putTarHelp)
    .action((words: string[], _, command: Command) => run(() => putTar(words, command.optsWithGlobals(), cli)));
  for (const name of ['put14', 'putbootstrap'])
    program
      .command(`${name} [instance]`, { hidden: true })
      .description('taken for the sake of Go’s tools; toolchains are the machine’s own')
      .action((instance: string | undefined, _, command: Command) => run(() => putBootstrap(instance, command.optsWithGlobals(), cli)));
}

const putTarHelp = `
  tar cz . | gomote puttar ann-linux-0
  gomote puttar -dir deps ann-linux-0 https://example.org/deps.tar.gz
  gomote puttar -dir app ann-linux-0 a1b2c3d4e5f6     # exactly the files of that commit

A commit is 7 to 40 hex digits; a file of that name is meant with ./ before it.`;

async function put(words: readonly string[], { mode: given, ...options }: PutOptions, cli: Cli): Promise<void> {
  const world = await openWorld(options, cli);
  const chosen = await chooseInstances(words, world);
  const [source, dest, ...more] = chosen.rest;
  if (source === undefined || more.length > 0)
    throw new CroftError('invalid', 'name one file', { hint: 'gomote put INSTANCE SOURCE DESTINATION' });
  if (source === '-' && dest === undefined) throw new CroftError('invalid', 'standard input has no name: give the destination');
  const path = placed(dest, source);
  const asked = given === undefined ? undefined : parseMode(given);
  const file = source === '-' ? undefined : await stat(resolve(cli.cwd, source)).catch(notReadable(source));
  if (file && !file.isFile()) throw new CroftError('invalid', `${source} is not a file`, { hint: 'gomote push sends directories.' });
  await using input = source === '-' ? await openReusable(cli, chosen.sessions.length) : undefined;
  const mode = asked ?? (file ? file.mode & 0o777 : 0o666);
  await onEach(chosen, world, async ({ files, session }, signal) => {
    await sendPatiently(cli, { isRepeatable: input?.isRepeatable ?? true, signal }, async () => {
      await using counted = countedBytes(cli, { what: `${session.alias}:${path}`, total: file?.size });
      const content = counted.through(input?.read() ?? createReadStream(resolve(cli.cwd, source)));
      await files.put(path, { mode, content }, { signal });
    });
  });
  if (world.json) await cli.stdout.write(`${JSON.stringify({ path, mode })}\n`);
}

/** A destination that ends in a slash is a directory. */
function placed(dest: string | undefined, source: string): string {
  if (dest === undefined) return basename(source);
  return dest.endsWith('/') ? posix.join(dest, basename(source)) : dest;
}

/** @throws CroftError `invalid` for what has more than permission bits */
function parseMode(text: string): number {
  const mode = /^[0-7]{1,6}$/.test(text) ? Number.parseInt(text, 8) : Number.NaN;
  if (mode <= 0o777) return mode;
  throw new CroftError('invalid', `-mode ${JSON.stringify(text)} is not the mode of a file`, { hint: 'Write it in octal, like 0755.' });
}

function notReadable(source: string): (error: unknown) => never {
  return (error) => {
    throw new CroftError('invalid', `reading ${source}: ${errorText(error)}`, { cause: error });
  };
}

/** Where an archive comes from: for each machine anew, or from a place that the machines ask. */
type Archive = { readonly kind: 'address'; readonly url: string } | ({ readonly kind: 'bytes' } & Reusable);

async function putTar(words: readonly string[], { dir, url, gorev, ...options }: PutTarOptions, cli: Cli): Promise<void> {
  const world = await openWorld(options, cli);
  const chosen = await chooseInstances(words, world);
  const [named = '-', ...more] = chosen.rest;
  if (more.length > 0 || (url !== undefined && gorev !== undefined)) throw new CroftError('invalid', 'name one archive');
  const archive = await openArchive({ named, url, gorev }, chosen.sessions.length, cli);
  await using _ = 'url' in archive ? undefined : archive;
  await onEach(chosen, world, (machine, signal) => unpack(machine, { archive, dir, signal }, cli));
  if (gorev !== undefined) {
    const version = { mode: 0o644, content: `devel ${gorev}` };
    await onEach(chosen, world, ({ files }, signal) => files.put(posix.join(dir, 'VERSION'), version, { signal }));
  }
  if (world.json) await cli.stdout.write(`${JSON.stringify({ dir })}\n`);
}

/** As with Go's where no toolchain is configured. */
async function putBootstrap(name: string | undefined, given: GomoteOptions, cli: Cli): Promise<void> {
  const world = await openWorld(given, cli);
  const { sessions } = await chooseInstances(name === undefined ? [] : [name], world);
  for (const { alias } of sessions) await cli.stderr.write(`# ${alias}: toolchains are the machine’s own; nothing was put there\n`);
  if (world.json) await cli.stdout.write(`${JSON.stringify({ put: [] })}\n`);
}

interface Asked {
  readonly named: string;
  readonly url: string | undefined;
  readonly gorev: string | undefined;
}

async function openArchive({ named, url, gorev }: Asked, times: number, cli: Cli): Promise<Archive> {
  const address = url ?? (/^https?:\/\//.test(named) ? named : undefined);
  if (address !== undefined) return { kind: 'address', url: address };
  const commit = gorev ?? (isCommit(named) ? named : undefined);
  if (commit !== undefined) return { kind: 'bytes', ...(await archiveOfCommit(commit, cli)) };
  if (named === '-') return { kind: 'bytes', ...(await openReusable(cli, times)) };
  const path = resolve(cli.cwd, named);
  await stat(path).catch(notReadable(named));
  return { kind: 'bytes', isRepeatable: true, read: () => createReadStream(path), async [Symbol.asyncDispose]() {} };
}

async function unpack(
  { files, buildlet, session }: Machine,
  { archive, dir, signal }: { archive: Archive; dir: string; signal: AbortSignal },
  cli: Cli,
): Promise<void> {
  if (archive.kind === 'address') return patiently(cli, () => files.putTarFromUrl(dir, archive.url, { signal }), { signal });
  await sendPatiently(cli, { isRepeatable: archive.isRepeatable, signal }, async () => {
    await using counted = countedBytes(cli, { what: `${session.alias}:${dir}` });
    await buildlet.putTarGz(dir, counted.through(archive.read()), anyEpoch, { signal });
  });
}
