/** A database while it is being drawn: chance, names (odd ones too), types with values, and the statements so far. */
import type { Random } from '../../lab/soak/random';
import { identifier, literal } from '../../src/postgres/sql';

/** Roles of drawn databases, by their attributes. Production's user is a member of the owners. */
export const drawnUser = 'drawn_user';
export const owners = ['drawn_one', 'drawn_two', 'Drawn "Röle" of \'x\''] as const;
export const readers = ['drawn_reader', 'drawn reader; --'] as const;
export const stranger = 'drawn_stranger';

export interface DrawnType {
  sql: string;
  /** SQL of a value, from the row's number `n`. */
  value: string;
  /** It has an order, so that it may be in keys and B-trees. */
  isOrdered: boolean;
  /** A class of operators for GIN or GiST. */
  index?: string;
}

export interface DrawnColumn {
  name: string;
  type: DrawnType;
  /** Its values are the rows' numbers, from 1. */
  isKey?: boolean;
  /** It computes its values itself. */
  isComputed?: boolean;
}

export interface DrawnTable {
  schema: string;
  name: string;
  /** Name in SQL. */
  at: string;
  columns: DrawnColumn[];
  rows: number;
  kind: 'table' | 'partitioned' | 'view' | 'materialized view';
}

const words = ['tree', 'Account', 'ENTRY', 'log', 'größe', '日本', 'naïve', 'x'];
const reserved = ['select', 'user', 'order', 'table', 'group', 'from', 'end', 'all', 'default', 'analyze'];
const oddities = [
  (word: string) => `${word} "quoted"`,
  (word: string) => `${word}'s`,
  (word: string) => `a ${word} b`,
  (word: string) => `${word.toUpperCase()}.${word}`,
  (word: string) => `${word}; Type: TABLE; Schema: public; Owner: -`,
  (word: string) => `-- Name: ${word}`,
  (word: string) => `$$${word}$1`,
  (word: string) => `${word}\\%s{}`,
  (word: string) => `${word}${'_long'.repeat(11)}`.slice(0, 60),
  (word: string) => ` ${word} `,
  (word: string) => `${word}\nnext`,
  (word: string) => `${word}\t😀`,
];

const base: DrawnType[] = [
  { sql: 'integer', value: 'n * 7 - 3', isOrdered: true },
  { sql: 'bigint', value: '9223372036854775807 - n', isOrdered: true },
  { sql: 'smallint', value: '(n % 100)::smallint', isOrdered: true },
  { sql: 'numeric(12, 3)', value: '(n / 7.0)::numeric(12, 3)', isOrdered: true },
  {
    sql: 'numeric',
    value: `case when n % 5 = 0 then 'NaN' else (n * 1.10)::text end::numeric`,
    isOrdered: true,
  },
  { sql: 'real', value: '(n / 3.0)::real', isOrdered: true },
  {
    sql: 'double precision',
    value: `case when n % 4 = 0 then '-0' else (1.0 / n)::text end::float8`,
    isOrdered: true,
  },
  { sql: 'text', value: `E'tab\\t back\\\\ \\\\N ''q'' é ' || n`, isOrdered: true },
  { sql: 'text collate "C"', value: `'c' || n`, isOrdered: true },
  { sql: 'character varying(20)', value: `left('word ' || n, 20)`, isOrdered: true },
  { sql: 'character(6)', value: `'c' || (n % 999)`, isOrdered: true },
  { sql: 'boolean', value: 'n % 2 = 0', isOrdered: true },
  { sql: 'date', value: `date '2024-02-29' + n`, isOrdered: true },
  {
    sql: 'timestamp(3)',
    value: `timestamp '2024-02-29 12:34:56.789' + n * interval '1 hour'`,
    isOrdered: true,
  },
  {
    sql: 'timestamp with time zone',
    value: `timestamptz '2024-03-31 01:30:00+00' + n * interval '17 minutes'`,
    isOrdered: true,
  },
  { sql: 'time', value: `time '00:00' + n * interval '1 minute'`, isOrdered: true },
  { sql: 'interval', value: `n * interval '1 mon -1 day 00:00:01'`, isOrdered: true },
  { sql: 'uuid', value: 'md5(n::text)::uuid', isOrdered: true },
  { sql: 'bytea', value: `decode(md5(n::text) || '00ff5c', 'hex')`, isOrdered: true },
  { sql: 'jsonb', value: `jsonb_build_object('n', n, 'é', null)`, isOrdered: true, index: 'gin' },
  { sql: 'json', value: `('{"a" : ' || n || ', "a":1.0}')::json`, isOrdered: false },
  { sql: 'inet', value: `inet '10.0.0.0/8' + n`, isOrdered: true },
  { sql: 'integer[]', value: 'array[n, null, n + 1]', isOrdered: true, index: 'gin' },
  { sql: 'text[]', value: `array['a,b', '{' || n || '}', null, '']`, isOrdered: true },
  { sql: 'int4range', value: 'int4range(n, n + 5)', isOrdered: true, index: 'gist' },
  {
    sql: 'tsrange',
    value: `tsrange('2024-01-01', timestamp '2024-01-01' + n * interval '1 day')`,
    isOrdered: true,
    index: 'gist',
  },
  { sql: 'point', value: 'point(n, -n)', isOrdered: false, index: 'gist' },
  { sql: 'tsvector', value: `to_tsvector('simple', 'word ' || n)`, isOrdered: true, index: 'gin' },
  { sql: 'bit(3)', value: `(n % 8)::bit(3)`, isOrdered: true },
  { sql: 'money', value: `(n * 1.5)::numeric::money`, isOrdered: true },
  { sql: 'pg_lsn', value: `('0/' || to_hex(n))::pg_lsn`, isOrdered: true },
  { sql: 'xml', value: `('<a>' || n || '</a>')::xml`, isOrdered: false },
  { sql: '"char"', value: `chr(65 + n % 26)::"char"`, isOrdered: true },
  { sql: 'name', value: `('n' || n)::name`, isOrdered: true },
];

export class Sketch {
  /** In their order; each alone, so that one which this server refuses leaves the others. */
  readonly statements: string[] = [];
  readonly types: DrawnType[] = [...base];
  /** Tables, views, and materialized views. */
  readonly tables: DrawnTable[] = [];
  /** What owners, grants and comments may be given to: `table "s"."t"`. */
  readonly objects: { kind: string; at: string; isGrantable: boolean }[] = [];
  readonly functions: { at: string; trigger: boolean }[] = [];
  /** The managed schemas. */
  readonly schemas = ['public'];
  private readonly names = new Set<string>();

  constructor(readonly random: Random) {}

  add(...sql: string[]): void {
    this.statements.push(...sql);
  }

  /** True with that probability. */
  chance(probability: number): boolean {
    return this.random.next() < probability;
  }

  /** Does something so many times, at least `from` and at most `to`. */
  times(from: number, to: number, act: () => void): void {
    for (let left = this.random.whole(from, to); left > 0; left--) act();
  }

  /** Some of a list, in its order. */
  some<T>(items: readonly T[], probability: number): T[] {
    return items.filter(() => this.chance(probability));
  }

  /** A name that nothing else has: mostly plain, at times odd or reserved. */
  name(): string {
    for (;;) {
      const word = this.random.pick(words);
      const plain = `${word.toLowerCase()}_${this.names.size}`;
      const odd = () => this.random.pick(oddities)(`${word}${this.names.size}`);
      const name = this.chance(0.7) ? plain : this.chance(0.3) ? this.random.pick(reserved) : odd();
      if (this.names.has(name)) continue;
      this.names.add(name);
      return name;
    }
  }

  schema(): string {
    return this.random.pick(this.schemas);
  }

  /** A new object's name in a managed schema, as SQL. */
  place(): { schema: string; name: string; at: string } {
    const [schema, name] = [this.schema(), this.name()];
    return { schema, name, at: `${identifier(schema)}.${identifier(name)}` };
  }

  /** Notes an object that was made. */
  made(kind: string, at: string, isGrantable = true): void {
    this.objects.push({ kind, at, isGrantable });
  }

  /** A table that may be filled and referred to; undefined where there is none. */
  table(...kinds: DrawnTable['kind'][]): DrawnTable | undefined {
    const found = this.tables.filter(({ kind }) => kinds.length === 0 || kinds.includes(kind));
    return found.length > 0 ? this.random.pick(found) : undefined;
  }

  column(
    { columns }: DrawnTable,
    fits: (column: DrawnColumn) => boolean = () => true,
  ): DrawnColumn | undefined {
    const found = columns.filter(fits);
    return found.length > 0 ? this.random.pick(found) : undefined;
  }

  /** A text with what may confuse who reads SQL line by line, as a literal. */
  text(): string {
    return literal(
      this.random.pick([
        'plain',
        `it's "quoted" \\ back`,
        'two\nlines',
        '--\n-- Name: x; Type: TABLE; Schema: public; Owner: -\n--\n',
        '\\restrict me\n$$ $function$ ; select 1',
        'SET default_tablespace = elsewhere;\né 日本',
      ]),
    );
  }
}
