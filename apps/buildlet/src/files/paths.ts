/** Paths that a request may name: below the work directory, and not out of it through a link. buildlet.md 1.3 (`nativeRel`, WE). */
import { lstat, realpath } from 'node:fs/promises';
import { basename, dirname, join, normalize, sep } from 'node:path';
import { CroftError, systemCode } from '@croft/runtime/errors';

/** The path with `a/../b` and doubled slashes resolved. @throws CroftError `invalid` when it is not below */
export function checkRelative(path: string): string {
  if (path === '') throw new CroftError('invalid', 'path not provided');
  if (path.includes('\0')) throw new CroftError('invalid', `path ${JSON.stringify(path)} holds a NUL`);
  // what a query holds of other bytes was replaced: the name that is left is somebody else's
  if (path.includes('\ufffd')) throw new CroftError('invalid', `path ${JSON.stringify(path)} holds bytes that are no UTF-8`);
  if (path.startsWith('/')) throw new CroftError('invalid', `path ${JSON.stringify(path)} is not relative`);
  const clean = normalize(path).replace(/(?<=.)\/+$/, '');
  if (clean === '..' || clean.startsWith('../'))
    throw new CroftError('invalid', `path ${JSON.stringify(path)} refers to a parent directory`);
  return clean;
}

/** What `checkRelative` says of a request's parameter. @throws CroftError `invalid` that names the parameter, as Go's buildlets do */
export function checkParameter(parameter: string, path: string): string {
  return naming(parameter, () => checkRelative(path));
}

/**
 * Where a parameter leads: a directory, also behind links, or where one can be made.
 * @throws CroftError `invalid` that names the parameter
 */
export async function directoryBelow(workDir: string, parameter: string, path: string): Promise<string> {
  return insideOf(workDir, path).catch((error: unknown) => naming(parameter, () => thrown(error)));
}

/** Where a parameter leads, but for its last name: a link there is meant itself. @throws CroftError `invalid` that names the parameter */
export async function entryBelow(workDir: string, parameter: string, path: string): Promise<string> {
  const clean = checkParameter(parameter, path);
  return clean === '.' ? realpath(workDir) : join(await directoryBelow(workDir, parameter, dirname(clean)), basename(clean));
}

/**
 * The absolute path with every link resolved; what does not exist yet is added as named.
 * @throws CroftError `invalid` when the path, or a link in it, leaves `root`
 */
export async function insideOf(root: string, path: string): Promise<string> {
  const clean = checkRelative(path);
  const realRoot = await realpath(root);
  const real = await realpathOfExisting(join(realRoot, clean));
  if (real !== realRoot && !real.startsWith(realRoot + sep)) throw leadsOut(path);
  return real;
}

async function realpathOfExisting(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if (systemCode(error) === 'ELOOP' || (await isLink(path))) throw leadsOut(path); // a link to what is not there may lead anywhere later
    if (!['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) throw error;
    return join(await realpathOfExisting(dirname(path)), path.slice(dirname(path).length));
  }
}

function isLink(path: string): Promise<boolean> {
  return lstat(path).then(
    (stats) => stats.isSymbolicLink(),
    () => false,
  );
}

export function leadsOut(path: string): CroftError {
  return new CroftError('invalid', `path ${JSON.stringify(path)} leaves the work directory through a link`);
}

function naming<T>(parameter: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (!(error instanceof CroftError)) throw error;
    throw new CroftError('invalid', `invalid '${parameter}' parameter: ${error.message}`, { cause: error });
  }
}

function thrown(error: unknown): never {
  throw error;
}
