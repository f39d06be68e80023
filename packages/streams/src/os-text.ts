/** Failures of the system in the words that Go's programs, and tools that read their errors, know. */
import { errorText } from '@croft/runtime/errors';
import { getSystemErrorMap } from 'node:util';

/** Where Node's words are not those of POSIX. */
const words: Readonly<Record<string, string>> = {
  EBUSY: 'device or resource busy',
  EEXIST: 'file exists',
  EIO: 'input/output error',
  EISDIR: 'is a directory',
  ELOOP: 'too many levels of symbolic links',
  ENAMETOOLONG: 'file name too long',
  ENOMEM: 'cannot allocate memory',
  ETXTBSY: 'text file busy',
  EXDEV: 'invalid cross-device link',
};
/** Where Node's name of the call is not the one that Go tells. */
const calls: Readonly<Record<string, string>> = { scandir: 'open', opendir: 'open', futime: 'chtimes', copyfile: 'open' };

interface SystemError extends Error {
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;
  readonly path?: string;
}

/** `open /srv/x: permission denied`; any other failure as `errorText` tells it. @param path instead of the one the error names */
export function osText(error: unknown, path?: string): string {
  if (!isSystemError(error)) return errorText(error);
  const at = path ?? error.path;
  const what = words[error.code] ?? getSystemErrorMap().get(error.errno)?.[1] ?? error.code;
  return `${calls[error.syscall] ?? error.syscall}${at === undefined ? '' : ` ${at}`}: ${what}`;
}

function isSystemError(error: unknown): error is SystemError {
  return error instanceof Error && 'errno' in error && typeof error.errno === 'number' && 'syscall' in error && 'code' in error;
}
