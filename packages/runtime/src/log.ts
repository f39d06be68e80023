/** Structured logs: a constant message and fields, one JSON line each on stderr or in a file. Secrets are replaced. */
import { pino } from 'pino';
import { CroftError, errorText, systemCode } from './errors.ts';
import { printable } from './printable.ts';

export interface Log {
  debug(message: string, fields?: Record<string, unknown>): void;
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
  /** The same log with fields added to each line. */
  with(fields: Record<string, unknown>): Log;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

export interface LogOptions {
  readonly level: LogLevel;
  /** A file to append to; stderr when absent. */
  readonly file?: string | undefined;
  readonly service: string;
}

/** What is kept to be written once a full disk has room again, bytes; lines beyond it are dropped. */
const backlogBytes = 1 << 20;

/** @throws CroftError `invalid` when the file cannot be opened. */
export function createLog({ level, file, service }: LogOptions): Log {
  const destination = openDestination(file);
  // A log that cannot be written has nowhere to say so, and must not end what it tells about.
  destination.on('error', () => undefined);
  return wrap(pino({ level, base: { service }, formatters: { log: printable }, timestamp: pino.stdTimeFunctions.isoTime }, destination));
}

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {}, with: () => silentLog };

function openDestination(file: string | undefined): ReturnType<typeof pino.destination> {
  try {
    return pino.destination({ dest: file ?? 2, sync: true, mkdir: true, maxLength: backlogBytes });
  } catch (error) {
    throw new CroftError('invalid', `opening the log file ${file}: ${systemCode(error) ?? errorText(error)}`, {
      cause: error,
      hint: 'Name a file in a directory that this user can write.',
    });
  }
}

function wrap(inner: pino.Logger): Log {
  return {
    debug: (message, fields = {}) => inner.debug(fields, message),
    info: (message, fields = {}) => inner.info(fields, message),
    warn: (message, fields = {}) => inner.warn(fields, message),
    error: (message, fields = {}) => inner.error(fields, message),
    with: (fields) => wrap(inner.child(printable(fields))),
  };
}
