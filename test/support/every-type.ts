/** Every type of PostgreSQL and its contrib modules with boundary values, read from a database that has all of them. */
import type { Client } from 'pg';
import { identifier } from '../../src/postgres/sql';

/** Boundary values as PostgreSQL reads them; `{user}` is the session's user. */
const boundaries: Record<string, string[]> = {
  bool: ['t', 'f'],
  bytea: ['\\x', '\\x00ff5c0a'],
  '"char"': ['', 'a', '\\', '"'],
  name: ['', 'x'.repeat(63), 'é"\\'],
  int2: ['-32768', '32767', '0'],
  int4: ['-2147483648', '2147483647', '0'],
  int8: ['-9223372036854775808', '9223372036854775807', '4294967296'],
  int2vector: ['', '1 -32768 32767'],
  oidvector: ['', '1 4294967295'],
  oid: ['0', '4294967295'],
  tid: ['(0,0)', '(4294967295,65535)'],
  xid: ['0', '4294967295'],
  cid: ['0', '4294967295'],
  xid8: ['0', '18446744073709551615'],
  regproc: ['-', 'pg_catalog.pg_backend_pid'],
  regprocedure: ['-', 'pg_catalog.now()'],
  regoper: ['0', 'pg_catalog.||/'],
  regoperator: ['0', '||/(none,double precision)'],
  regclass: ['-', 'pg_catalog.pg_class', '4294967295'],
  regcollation: ['-', '"C"'],
  regtype: ['-', 'integer', 'char'],
  regrole: ['-', 'pg_monitor'],
  regnamespace: ['-', 'pg_catalog'],
  regconfig: ['-', 'simple'],
  regdictionary: ['-', 'simple'],
  text: ['', 'tab\t back\\ slash\\N nl\n cr\r \\. é', 'NULL'],
  varchar: ['', ' a ', '{}'],
  bpchar: ['', 'a', 'a  '],
  json: ['{"b" : 1, "b":1.0}', 'null', '"\\u00e9"'],
  jsonb: ['{"b": [1, 1.0, -0]}', 'null', '1e-400'],
  jsonpath: ['$', 'strict $."a"[*] ? (@ > 1)'],
  xml: ['', '<a>&amp;é</a>', 'text <b/>'],
  point: ['(0,-0)', '(NaN,Infinity)', '(1e-300,1e300)'],
  lseg: ['[(0,0),(1,1)]', '[(1,1),(0,0)]'],
  path: ['((0,0))', '[(0,0),(1,1)]'],
  box: ['(0,0),(0,0)', '(1,4),(0,0)'],
  polygon: ['((0,0))', '((0,0),(1,1),(1,0))'],
  line: ['{1,0,0}', '{0.1,-1,3}'],
  circle: ['<(0,0),0>', '<(1,1),Infinity>'],
  inet: ['0.0.0.0/0', '10.0.0.1/8', '::ffff:1.2.3.4'],
  cidr: ['0.0.0.0/0', '10.0.0.0/8', '::1/128'],
  macaddr: ['00:00:00:00:00:00', 'ff:ff:ff:ff:ff:ff'],
  macaddr8: ['00:00:00:00:00:00:00:00', 'ff:ff:ff:ff:ff:ff:ff:ff'],
  money: ['-92233720368547758.08', '92233720368547758.07', '0'],
  float4: ['NaN', '-0', '-Infinity', '3.4028235e38', '1e-45'],
  float8: ['NaN', '-0', 'Infinity', '1.7976931348623157e308', '5e-324', '0.30000000000000004'],
  numeric: ['NaN', 'Infinity', '-Infinity', '0.00', `1${'0'.repeat(1000)}.10`, `0.${'0'.repeat(16382)}1`],
  date: ['4713-01-01 BC', '5874897-12-31', 'infinity', '-infinity', '0001-01-01 BC'],
  time: ['00:00', '24:00', '23:59:59.999999'],
  timetz: ['00:00+15:59:59', '24:00-15:59'],
  timestamp: ['4713-01-01 00:00 BC', '294276-12-31 23:59:59.999999', 'infinity', '-infinity'],
  timestamptz: ['4713-01-01 00:00+00 BC', '294276-12-31 23:59:59.999999+00', 'infinity', '-infinity'],
  interval: ['178000000 years', '-178000000 years', '1 mon -1 day 00:00:00.000001', '0'],
  bit: ['0', '1'],
  varbit: ['', '101'],
  uuid: ['00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff'],
  pg_lsn: ['0/0', 'FFFFFFFF/FFFFFFFF'],
  tsvector: ['', `a:1A,2 'b c'`],
  tsquery: ['', `a & !'b c':*AB <3> c`],
  txid_snapshot: ['1:1:', '10:20:10,14'],
  pg_snapshot: ['1:1:', '10:20:10,14'],
  refcursor: ['', 'c'],
  aclitem: ['=r/{user}', '{user}=a*r/{user}'],
  int4range: ['[-2147483648,2147483647)'],
  int8range: ['[-9223372036854775808,9223372036854775807)'],
  numrange: ['[1.0,2.50]', '(NaN,)'],
  tsrange: ['[-infinity,infinity)'],
  tstzrange: ['[-infinity,infinity)'],
  daterange: ['[4713-01-01 BC,5874897-12-31)'],
  cardinal_number: ['0'],
  character_data: ['', 'x'],
  sql_identifier: ['x'],
  time_stamp: ['infinity'],
  yes_or_no: ['YES', 'NO'],
  citext: ['', 'éA'],
  hstore: ['', '"a"=>NULL,"b c"=>"\\"\\\\"'],
  ltree: ['', 'a.b_1'],
  lquery: ['*', 'a.!b|c.*{1,2}'],
  ltxtquery: ['a & !b%@'],
  cube: ['(0)', '(1e-300,-0),(2,3)'],
  seg: ['1 .. 2.50', '<1e10', '1.0'],
  query_int: ['1&!(2|3)'],
  earth: ['(6378168,0,0)'],
  lo: ['0', '4294967295'],
  ean13: ['0220356483481'],
  isbn13: ['978-0-393-04002-9'],
  isbn: ['0-393-04002-X'],
  ismn13: ['979-0-2600-0043-8'],
  ismn: ['M-060-11561-5'],
  issn13: ['977-1436-452-00-8'],
  issn: ['1436-4522'],
  upc: ['220356483481'],
};

/** Types that take no value from outside; preflight refuses those that hold one all the same. */
export const withoutInput =
  /^(pg_node_tree|pg_ndistinct|pg_dependencies|pg_mcv_list|pg_brin_\w+_summary|gtsvector|gtrgm|ghstore|ltree_gist|intbig_gkey|gbtreekey\w+)$/;

export interface KnownType {
  /** Unique, as a column's name. */
  name: string;
  /** As SQL writes it. */
  sql: string;
  schema: string;
  kind: 'base' | 'range' | 'multirange' | 'domain' | 'composite';
  values: string[];
}

/** Installs every extension that the server offers into schema `contrib`. */
export async function installEverything(client: Client): Promise<void> {
  await client.query('create schema contrib; set search_path = contrib; set client_min_messages = warning');
  const { rows } = await client.query<{ name: string }>(
    'select name from pg_available_extensions where installed_version is null order by name',
  );
  for (const { name } of rows) {
    // Languages and the like may lack a library; what has types is seen by those that are there.
    await client
      .query(`create extension if not exists ${identifier(name)} schema contrib cascade`)
      .catch(() => undefined);
  }
}

/** Every type that a column may have. @throws Error naming types that no boundary value is known of */
export async function readEveryType(client: Client): Promise<KnownType[]> {
  const { rows } = await client.query<
    Omit<KnownType, 'values' | 'kind'> & { kind: string; user: string; fields: number }
  >(
    `select t.typname as name, format_type(t.oid, null) as sql, n.nspname as schema, t.typtype as kind, current_user as user,
       (select count(*)::int from pg_attribute a where a.attrelid = t.typrelid and a.attnum > 0) as fields
     from pg_type t join pg_namespace n on n.oid = t.typnamespace left join pg_class c on c.oid = t.typrelid
     where n.nspname in ('pg_catalog', 'information_schema', 'contrib') and t.typtype <> 'p' and not (t.typtype = 'c' and c.relkind <> 'c')
       and (t.typarray <> 0 or t.typcategory <> 'A') order by n.nspname, t.typname`,
  );
  const kinds = { r: 'range', m: 'multirange', d: 'domain', c: 'composite' } as const;
  const types = rows
    .filter(({ name }) => !withoutInput.test(name))
    .map(({ user, fields, ...type }): KnownType => {
      const kind = kinds[type.kind as keyof typeof kinds] ?? 'base';
      const own = boundaries[type.name] ?? boundaries[type.sql] ?? [];
      const values = {
        range: ['empty', '(,)', ...own],
        multirange: ['{}', '{(,)}'],
        composite: [`(${','.repeat(Math.max(0, fields - 1))})`],
        base: own,
        domain: own,
      }[kind];
      return { ...type, kind, values: values.map((value) => value.replaceAll('{user}', user)) };
    });
  const unknown = types.filter(({ values }) => values.length === 0).map(({ name }) => name);
  if (unknown.length > 0) throw new Error(`No boundary value is known of ${unknown.join(', ')}.`);
  return types;
}
