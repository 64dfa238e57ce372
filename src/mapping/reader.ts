/** Single read-only statements on a database in use: each in a transaction of its own, its errors sorted. */
import type { ClientBase, FieldDef } from 'pg';
import { codeOf, isStatementsFault, sentence } from '../errors';
import { readAgain } from '../postgres/let-go';
import { settingOwn, type MappingSession } from '../postgres/own-settings';
import { identifiers } from '../postgres/sql';

export type Read =
  | { kind: 'rows'; rows: Record<string, string | null>[]; fields: FieldDef[] }
  /** `isData`: a row caused it, else the statement itself. */
  | { kind: 'refused'; message: string; isData: boolean };

export type Reader = (sql: string) => Promise<Read>;

const settings = [
  'set local extra_float_digits = 3',
  'set local statement_timeout = 0',
  'set local row_security = off',
].join('; ');

/**
 * Makes a function that reads as a mapping's SQL does and leaves nothing behind in the session, which must not be
 * in a transaction. An error of the statement is an answer; any other (a lost connection, a cancel) is thrown.
 */
export function openReader(client: ClientBase, session: MappingSession): Reader {
  const read = async (sql: string): Promise<Read> => {
    await client.query(beginRead(session));
    try {
      const { rows, fields } = await client.query<Record<string, string | null>>(sql);
      await client.query('commit');
      return { kind: 'rows', rows, fields };
    } catch (error) {
      if (!isStatementsFault(error)) {
        if (codeOf(error) === '57014') await client.query('rollback');
        throw error;
      }
      await client.query('rollback');
      return { kind: 'refused', ...refusal(error) };
    }
  };
  return (sql) => readAgain(client, () => read(sql));
}

/** SQL that begins a transaction in which a mapping's SQL reads. */
export function beginRead({ schemas, own }: MappingSession): string {
  const path = schemas.length > 0 ? identifiers(schemas) : `''`;
  return `begin read only; ${settings}; ${settingOwn(own, 'local')} set local search_path = ${path}`;
}

/** PostgreSQL's words for what a statement got wrong, without values of rows. */
export function refusal(error: unknown): { message: string; isData: boolean } {
  const code = codeOf(error) ?? '';
  const isData = !code.startsWith('42') && !code.startsWith('0A');
  return { message: isData ? withoutData(code, sentence(error)) : sentence(error), isData };
}

// Messages about values quote them, and what functions raise may hold anything; neither may leave the database.
function withoutData(code: string, message: string): string {
  if (code.startsWith('P0')) return `a function raised an error (SQLSTATE ${code})`;
  return message.replace(/"[^]*"/, '"…"');
}
