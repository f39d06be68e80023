/** Structured logs: a constant message and fields, one JSON line each on stderr or in a file. Secrets are replaced. */
import { pino } from 'pino';

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

const hidden = ['password', 'token', 'authorization', 'secret', 'key', 'cookie'];

export function createLog({ level, file, service }: LogOptions): Log {
  const destination = pino.destination({ dest: file ?? 2, sync: true, mkdir: true });
  const redact = { paths: [...hidden, ...hidden.map((name) => `*.${name}`)], censor: '[secret]' };
  return wrap(pino({ level, base: { service }, redact, timestamp: pino.stdTimeFunctions.isoTime }, destination));
}

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {}, with: () => silentLog };

function wrap(inner: pino.Logger): Log {
  return {
    debug: (message, fields = {}) => inner.debug(fields, message),
    info: (message, fields = {}) => inner.info(fields, message),
    warn: (message, fields = {}) => inner.warn(fields, message),
    error: (message, fields = {}) => inner.error(fields, message),
    with: (fields) => wrap(inner.child(fields)),
  };
}
