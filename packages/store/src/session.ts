/** The `Sql` that a transaction's work is given: it refuses statements after the end and remembers the first one that failed. */
import { CroftError } from '@croft/runtime/errors';
import type { Dialect, Sql, SqlValue } from './database.ts';
import { storable } from './sql-text.ts';

export interface Session {
  readonly sql: Sql;
  /** To be called before COMMIT: a failed statement fails its transaction even if the work caught its error, as PostgreSQL has it. */
  assertWhole(): void;
  end(): void;
}

type Statement<T> = (text: string, params: readonly SqlValue[]) => T | Promise<T>;

export interface Statements {
  readonly all: Statement<unknown[]>;
  readonly get: Statement<unknown>;
  readonly run: Statement<number>;
}

export function openSession(dialect: Dialect, statements: Statements): Session {
  let open = true;
  let failure: { readonly error: unknown } | undefined;
  const guarded =
    <T>(statement: Statement<T>) =>
    async (text: string, params: readonly SqlValue[] = []): Promise<T> => {
      if (!open) throw new CroftError('internal', 'a statement came after the end of its transaction');
      try {
        return await statement(text, params.map(storable));
      } catch (error) {
        failure ??= { error };
        throw error;
      }
    };
  const sql = {
    dialect,
    forUpdate: dialect === 'postgres' ? ' FOR UPDATE' : '',
    all: guarded(statements.all),
    get: guarded(statements.get),
    run: guarded(statements.run),
  };
  return {
    sql: sql as Sql, // the shape of rows is what each statement says
    assertWhole() {
      if (failure) throw failure.error;
    },
    end() {
      open = false;
    },
  };
}
