/** Connection URLs: what is read from them, and what is written for sessions, commands and messages. */
import { redactor } from '../src/host/secrets';
import type { Settings } from '../src/settings/read';
import {
  clientConfig,
  databaseOf,
  otherDatabase,
  placeOf,
  throughTheFence,
  urlProblem,
  withoutPassword,
} from '../src/postgres/url';

const socket = 'postgresql://me:secret@/shop?host=/var/run/postgresql&port=5433';

test('a socket folder stays the host, in sessions, for commands and in messages', () => {
  expect(clientConfig(socket)).toEqual({
    user: 'me',
    password: 'secret',
    host: '/var/run/postgresql',
    port: 5433,
    database: 'shop',
  });
  expect(urlProblem(socket)).toBeNull();
  expect(placeOf(socket)).toBe('/var/run/postgresql:5433/shop');
  expect(clientConfig('postgresql://me@%2Ftmp/shop').host).toBe('/tmp');
  expect(otherDatabase(socket, 'a b')).toBe(
    'postgresql://me:secret@/a%20b?host=%2Fvar%2Frun%2Fpostgresql&port=5433',
  );
});

test('an address in brackets, TLS and options are handed on', () => {
  const url = 'postgres://me@[::1]:5432/shop?sslmode=no-verify&options=-c%20geqo%3Doff&application_name=mine';
  expect(clientConfig(url)).toEqual({
    user: 'me',
    host: '::1',
    port: 5432,
    database: 'shop',
    ssl: { rejectUnauthorized: false },
    options: '-c geqo=off',
  });
  expect(throughTheFence(url)).toMatch(
    /^postgresql:\/\/me@\[::1\]:5432\/shop\?.*&options=-c%20geqo%3Doff%20-c%20default_transaction_read_only%3Doff$/,
  );
});

test('what libpq takes from parameters comes from there: it is one database for all', () => {
  const url = 'postgresql://other:x@h/wrong?user=me&password=secret&dbname=shop';
  expect(clientConfig(url)).toEqual({ user: 'me', password: 'secret', host: 'h', database: 'shop' });
  expect(databaseOf(url)).toBe('shop');
  expect(withoutPassword(url)).toEqual({ url: 'postgresql://me@h/shop', password: 'secret' });
});

test('a URL that programs read differently, or not at all, is refused', () => {
  expect(urlProblem('postgresql://me@h/shop#1')).toMatch(/%23/);
  expect(urlProblem('postgresql://me:pa?ss@h/shop')).toMatch(/names no port/);
  expect(urlProblem('postgresql://me@h/%ff')).toBe('is not a URL');
  expect(urlProblem('postgresql://me@h/')).toBe('names no database');
  expect(urlProblem('host=h dbname=shop')).toBe('is not a URL');
});

test('a password is hidden in every form in which it is written', () => {
  const hide = redactor({ plans: { p: planOf('U') } } as unknown as Settings, {
    U: "postgresql://me:it's%2Ba%20word@h/shop",
  });
  for (const form of ["it's%2Ba%20word", "it's+a word", 'it%27s%2Ba%20word'])
    expect(hide(`<${form}>`)).toBe('<***>');
});

function planOf(urlEnv: string): object {
  const database = { urlEnv };
  return {
    databases: { production: database, backup: database, shadow: database },
    schema: { kind: 'sql' },
    maintenance: {},
    deploy: [],
    smoke: [],
    rollbackSmoke: [],
    notify: [],
  };
}
