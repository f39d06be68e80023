/** PostgreSQL's errors in our words. Codes: appendix A of its manual. */
import { CroftError, errorText, systemCode } from '@croft/runtime/errors';

export function postgresError(error: unknown): unknown {
  if (error instanceof CroftError || !(error instanceof Error)) return error;
  const code = sqlState(error);
  const cause = { cause: error };
  const text = `database: ${errorText(error)}`;
  if (lostConnection(error))
    return new CroftError('unavailable', text, { ...cause, hint: 'Check that PostgreSQL runs; the connection is made again by itself.' });
  if (code === undefined) return error;
  if (code === '57014') return new CroftError('timeout', text, cause);
  if (code === '53100') return new CroftError('exhausted', text, { ...cause, hint: 'Free some space on the disk of PostgreSQL.' });
  if (mayRetry(error))
    return new CroftError('unavailable', `${text} (tried again several times)`, {
      ...cause,
      hint: 'Too many writers meet here; try again later.',
    });
  if (code.startsWith('23')) return new CroftError('conflict', text, cause);
  return new CroftError('internal', text, cause);
}

/** Serialization failure, deadlock, lock not available: nothing has happened, and trying again may help. */
export function mayRetry(error: unknown): boolean {
  return ['40001', '40P01', '55P03'].includes(sqlState(error) ?? '');
}

/** The connection cannot be used again. */
export function lostConnection(error: unknown): boolean {
  const code = sqlState(error);
  if (code !== undefined)
    return code.startsWith('08') || code.startsWith('57P') || code.startsWith('28') || code === '53300' || code === '25P03';
  if (!(error instanceof Error) || error instanceof CroftError) return false;
  return (
    systemCode(error) !== undefined ||
    /^(Connection terminated|Client has encountered|Query read timeout|timeout exceeded)/.test(error.message)
  );
}

function sqlState(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && !code.startsWith('E') ? code : undefined;
}
