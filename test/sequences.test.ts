/** Sequences after a migration: none gives a value that is taken, none is brought to its end, and preflight tells of those that would be. */
import type { Manifest } from '../src/backup/manifest';
import { connect, disconnect } from '../src/postgres/connect';
import { advanceSequences } from '../src/migrate/sequences';
import { lookAtSequences } from '../src/preflight/sequences';
import { withDatabase } from '../lab/stage';
import { createDatabase } from './support/environment';
import { openMappingDatabases, type MappingDatabases } from './support/mapping-databases';

interface Moved {
  title: string;
  schema: string;
  /** What the sequence `s` stood at in the old database: last_value and is_called; none when it is new. */
  old?: [string, boolean];
  /** last_value and is_called afterwards. */
  stands: string;
}

const cases: Moved[] = [
  {
    title: 'a sequence keeps its value where the rows are behind it',
    schema: 'create table t (id serial); insert into t values (7)',
    old: ['120', true],
    stands: '120 true',
  },
  {
    title: 'a sequence behind the rows goes to the largest',
    schema: 'create table t (id serial); insert into t values (7), (200)',
    old: ['120', true],
    stands: '200 true',
  },
  {
    title: 'a value that is taken and would come next is passed',
    schema: 'create table t (id serial); insert into t values (120)',
    old: ['120', false],
    stands: '120 true',
  },
  {
    title: 'one row at the very end leaves the sequence where it is',
    schema: 'create table t (id serial); insert into t values (7), (2147483647)',
    old: ['120', true],
    stands: '120 true',
  },
  {
    title: 'a new sequence passes every row but the one at its very end',
    schema: 'create table t (id serial); insert into t values (7), (130), (2147483647)',
    stands: '130 true',
  },
  {
    title: 'rows beyond what the sequence can give leave it where it is',
    schema: `create sequence t_id_seq maxvalue 1000; create table t (id bigint default nextval('t_id_seq'));
      insert into t values (7), (5000000000)`,
    old: ['120', true],
    stands: '120 true',
  },
  {
    title: 'a sequence that cycles keeps its value',
    schema: `create sequence t_id_seq maxvalue 1000 cycle; create table t (id int default nextval('t_id_seq'));
      insert into t values (999)`,
    old: ['5', true],
    stands: '5 true',
  },
  {
    title: 'a descending sequence goes to the smallest value',
    schema: `create sequence t_id_seq increment -1; create table t (id int default nextval('t_id_seq')); insert into t values (-7), (-300)`,
    old: ['-120', true],
    stands: '-300 true',
  },
  {
    title: 'a descending sequence is not brought to its end either',
    schema: `create sequence t_id_seq increment -1 minvalue -300; create table t (id int default nextval('t_id_seq'));
      insert into t values (-7), (-300)`,
    old: ['-5', true],
    stands: '-7 true',
  },
  {
    title: 'a sequence of another increment stays on its own values',
    schema: `create sequence t_id_seq increment 2; create table t (id int default nextval('t_id_seq')); insert into t values (200)`,
    old: ['121', true],
    stands: '201 true',
  },
  {
    title: 'a step that would pass the end is not made',
    schema: `create sequence t_id_seq increment 10 maxvalue 100; create table t (id int default nextval('t_id_seq'));
      insert into t values (35), (95)`,
    old: ['1', true],
    stands: '41 true',
  },
  {
    title: 'an identity column is filled like any other',
    schema: `create table t (id bigint generated always as identity); insert into t overriding system value values (4611686018427387905)`,
    stands: '4611686018427387905 true',
  },
  {
    title: 'a sequence that several columns share passes all of them',
    schema: `create sequence t_id_seq; create table t (id int default nextval('t_id_seq')); create table u (id bigint default nextval('t_id_seq'));
      insert into t values (200); insert into u values (300)`,
    old: ['120', true],
    stands: '300 true',
  },
  {
    title: 'columns of a domain and of numeric are filled too',
    schema: `create domain number as int; create sequence t_id_seq; create table t (id number default nextval('t_id_seq'));
      create table u (id numeric default nextval('t_id_seq')); insert into t values (200); insert into u values (300.5), ('NaN')`,
    stands: '301 true',
  },
];

test.each(cases)('$title', async ({ schema, old, stands }) => {
  const database = await createDatabase('sequences');
  try {
    await withDatabase(database.url, (client) => client.query(schema));
    const client = await connect(database.url, 'test');
    const state = {
      schema: 'public',
      name: 't_id_seq',
      lastValue: old?.[0] ?? '',
      isCalled: old?.[1] ?? false,
    };
    await advanceSequences(client, ['public'], { sequences: old ? [state] : [] } as unknown as Manifest);
    const { rows } = await client.query<{ stands: string }>(
      `select last_value || ' ' || is_called as stands from public.t_id_seq`,
    );
    await disconnect(client);
    expect(rows[0]?.stands).toBe(stands);
  } finally {
    await database.drop();
  }
});

describe('preflight', () => {
  let databases: MappingDatabases;
  beforeAll(async () => {
    databases = await openMappingDatabases();
  });
  afterAll(() => databases.end());

  async function look(before: string, after: string) {
    const compiled = await databases.compile(before, after);
    expect(compiled.findings).toEqual([]);
    return lookAtSequences(databases.source, databases.target, { compiled, schemas: ['public'] });
  }

  test('says nothing of sequences that have values left', async () => {
    const schema = 'create table t (id serial); create sequence alone maxvalue 5 cycle';
    const rows = `insert into t values (7); select setval('alone', 5)`;
    expect(await look(`${schema}; ${rows}`, schema)).toEqual({ findings: [], notes: [] });
  });

  test('notes a row that stands where its sequence ends', async () => {
    const schema = 'create table t (id serial)';
    const rows = `insert into t values (7), (2147483647); select setval('t_id_seq', 120)`;
    const { findings, notes } = await look(`${schema}; ${rows}`, schema);
    expect(findings).toEqual([]);
    expect(notes).toEqual([
      expect.stringMatching(/^t\.id holds 2147483647, where its sequence t_id_seq ends.* goes on after 120/),
    ]);
  });

  test('notes a sequence that its rows leave few values', async () => {
    const schema = 'create table t (id serial)';
    const { notes } = await look(`${schema}; insert into t values (2147483640)`, schema);
    expect(notes).toEqual([
      expect.stringMatching(/^Sequence t_id_seq will stand at 2147483640.* 7 values left/),
    ]);
  });

  test('finds a sequence that would be at its end', async () => {
    const before = `create sequence s; select setval('s', 32767)`;
    const { findings } = await look(before, 'create sequence s as smallint');
    expect(findings).toEqual([expect.stringMatching(/^Sequence s would be at its end \(32767\)/)]);
  });

  test('finds a sequence whose value the new one does not reach', async () => {
    const before = `create sequence s; select setval('s', 32768)`;
    const { findings } = await look(before, 'create sequence s as smallint');
    expect(findings).toEqual([
      expect.stringMatching(
        /^Sequence s stands at 32768 in production, and the new schema's goes from 1 to 32767/,
      ),
    ]);
  });
});
