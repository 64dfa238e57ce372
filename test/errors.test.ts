/** What every error means for a run: one function decides, by code, by the driver's words, by what caused it. */
import { toFailure } from '../activities/guard';
import { KirikaeError, failWith, failureType, failureTypeOfText, isStatementsFault } from '../src/errors';

/** An error as PostgreSQL, Node or `pg` gives it. */
function made(message: string, more: Record<string, unknown> = {}): Error {
  return Object.assign(new Error(message), more);
}

describe('a code', () => {
  test.each([
    ['08000', 'connection_exception'],
    ['08001', 'sqlclient_unable_to_establish_sqlconnection'],
    ['08003', 'connection_does_not_exist'],
    ['08004', 'sqlserver_rejected_establishment_of_sqlconnection'],
    ['08006', 'connection_failure'],
    ['08007', 'transaction_resolution_unknown'],
    ['08P01', 'protocol_violation'],
    ['57P01', 'admin_shutdown'],
    ['57P02', 'crash_shutdown'],
    ['57P03', 'cannot_connect_now: the database system is starting up'],
    ['57P04', 'database_dropped'],
    ['57P05', 'idle_session_timeout'],
    ['53300', 'too_many_connections'],
    ['40001', 'serialization_failure'],
    ['40P01', 'deadlock_detected'],
    ['55P03', 'lock_not_available'],
    ['55006', 'object_in_use'],
    ['ECONNREFUSED', 'of a socket'],
    ['ECONNRESET', 'of a socket'],
    ['ECONNABORTED', 'of a socket'],
    ['EPIPE', 'of a socket'],
    ['ENOTCONN', 'of a socket'],
    ['ESHUTDOWN', 'of a socket'],
    ['ETIMEDOUT', 'of a socket'],
    ['EHOSTUNREACH', 'of a socket'],
    ['EHOSTDOWN', 'of a socket'],
    ['ENETUNREACH', 'of a socket'],
    ['ENETDOWN', 'of a socket'],
    ['ENETRESET', 'of a socket'],
    ['EADDRNOTAVAIL', 'of a socket'],
    ['ENOTFOUND', 'of a name server'],
    ['EAI_AGAIN', 'of a name server'],
    ['ERR_STREAM_PREMATURE_CLOSE', 'of a pipeline'],
    ['ERR_STREAM_DESTROYED', 'of a pipeline'],
    ['ERR_STREAM_WRITE_AFTER_END', 'of a pipeline'],
    ['ERR_SOCKET_CLOSED', 'of a socket'],
    ['ERR_SOCKET_CONNECTION_TIMEOUT', 'of a socket'],
  ])('%s (%s) is an outage', (code, message) => {
    expect(failureType(made(message, { code }))).toBe('Outage');
  });

  test.each([
    ['28000', 'invalid_authorization_specification'],
    ['28P01', 'invalid_password'],
    ['53100', 'disk_full'],
    ['53200', 'out_of_memory'],
  ])('%s (%s) is an operator’s matter', (code, message) => {
    expect(failureType(made(message, { code }))).toBe('NeedsRepair');
  });

  test.each([
    ['57014', 'query_canceled: somebody stopped this statement on purpose'],
    ['53400', 'configuration_limit_exceeded'],
    ['3D000', 'invalid_catalog_name'],
    ['42P01', 'undefined_table'],
    ['42501', 'insufficient_privilege'],
    ['23505', 'unique_violation'],
    ['22012', 'division_by_zero'],
    ['P0001', 'raise_exception'],
    ['XX000', 'internal_error'],
    ['ENOENT', 'of a file'],
    ['EACCES', 'of a file'],
    ['ERR_INVALID_ARG_TYPE', 'of a mistake in the code'],
  ])('%s (%s) is a failure', (code, message) => {
    expect(failureType(made(message, { code }))).toBe('StepFailed');
  });

  test('counts more than words: a function of a mapping may raise any', () => {
    expect(failureType(made('Connection terminated', { code: 'P0001' }))).toBe('StepFailed');
  });

  test('of a missing file is an outage when it is the socket of a server on this host', () => {
    expect(failureType(made('connect ENOENT', { code: 'ENOENT', syscall: 'connect' }))).toBe('Outage');
    expect(failureType(made('spawn pg_dump ENOENT', { code: 'ENOENT', syscall: 'spawn' }))).toBe(
      'StepFailed',
    );
  });
});

describe('without a code', () => {
  test.each([
    'Connection terminated',
    'Connection terminated unexpectedly',
    'Connection terminated due to connection timeout',
    'Client has encountered a connection error and is not queryable',
    'Client was closed and is not queryable',
    'timeout expired',
    'Query read timeout',
    'There was an error establishing an SSL connection',
  ])('the driver’s "%s" is an outage', (message) => {
    expect(failureType(new Error(message))).toBe('Outage');
  });

  test('a password that is missing is an operator’s matter', () => {
    const message = 'SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string';
    expect(failureType(new Error(message))).toBe('NeedsRepair');
  });

  test.each([
    new Error('The plan says: timeout expired'),
    new TypeError('x is undefined'),
    'text',
    null,
    undefined,
  ])('%p is a failure', (error) => {
    expect(failureType(error)).toBe('StepFailed');
  });
});

describe('an error around others', () => {
  const refused = made('connect ECONNREFUSED', { code: 'ECONNREFUSED' });
  const doubled = made('duplicate key', { code: '23505' });

  test.each([
    ['several addresses that refuse', new AggregateError([refused, refused]), 'Outage'],
    ['one that fails otherwise first', new AggregateError([made('', { code: 'EACCES' }), refused]), 'Outage'],
    ['failures only', new AggregateError([doubled, new Error('no')]), 'StepFailed'],
    ['nothing', new AggregateError([]), 'StepFailed'],
    ['a cause that is an outage', new Error('fetch failed', { cause: refused }), 'Outage'],
    ['a cause of a cause', new Error('a', { cause: new Error('b', { cause: refused }) }), 'Outage'],
    [
      'a cause under a code that says nothing',
      Object.assign(new Error('a', { cause: refused }), { code: 'ERR_X' }),
      'Outage',
    ],
    [
      'a cause under a SQLSTATE that does',
      Object.assign(new Error('a', { cause: refused }), { code: '23505' }),
      'StepFailed',
    ],
    ['a cause that is a failure', new Error('a', { cause: doubled }), 'StepFailed'],
    ['a cause with a type', new Error('a', { cause: new KirikaeError('Overtaken', 'o') }), 'Overtaken'],
  ])('%s', (_, error, type) => {
    expect(failureType(error)).toBe(type);
  });
});

describe('putting an error into a sentence', () => {
  const say = (why: string) => `The keys can't be applied: ${why}.`;
  const thrownFor = (error: unknown): unknown => {
    try {
      return failWith(error, say);
    } catch (thrown) {
      return thrown;
    }
  };

  test('makes a failure of a failure', () => {
    const error = made('relation "a" does not exist', { code: '42P01' });
    expect(thrownFor(error)).toMatchObject({
      type: 'StepFailed',
      message: `The keys can't be applied: relation "a" does not exist.`,
      cause: error,
    });
  });

  test.each([
    made('Connection terminated unexpectedly'),
    made('deadlock detected', { code: '40P01' }),
    made('disk full', { code: '53100' }),
    new KirikaeError('Overtaken', 'Another run.'),
    new KirikaeError('DataDiffer', 'They differ.'),
    new KirikaeError('StepFailed', 'It says already what to do.'),
  ])('leaves %p as it is', (error) => {
    expect(thrownFor(error)).toBe(error);
  });
});

test.each([
  ['42703', true],
  ['22012', true],
  ['P0001', true],
  ['0A000', true],
  ['57014', false],
  ['40001', false],
  ['40P01', false],
  ['57P01', false],
  ['53200', false],
  ['XX000', false],
])('SQLSTATE %s is the fault of the statement: %s', (code, expected) => {
  expect(isStatementsFault(made('', { code }))).toBe(expected);
});

const server = 'pg_dump: error: connection to server at "127.0.0.1", port 5432 failed: ';
test.each([
  [
    `${server}Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?`,
    'Outage',
  ],
  [`${server}timeout expired`, 'Outage'],
  [`${server}FATAL:  the database system is starting up`, 'Outage'],
  [`${server}FATAL:  the database system is not yet accepting connections`, 'Outage'],
  [`${server}FATAL:  sorry, too many clients already`, 'Outage'],
  [`${server}FATAL:  das Datenbanksystem startet`, 'Outage'],
  ['pg_dump: error: query failed: server closed the connection unexpectedly', 'Outage'],
  ['pg_dump: error: query failed: FATAL:  terminating connection due to administrator command', 'Outage'],
  ['pg_dump: error: query failed: ERROR:  canceling statement due to lock timeout', 'Outage'],
  ['pg_dump: error: query failed: ERROR:  deadlock detected', 'Outage'],
  [`${server}FATAL:  password authentication failed for user "a"`, 'NeedsRepair'],
  [`${server}fe_sendauth: no password supplied`, 'NeedsRepair'],
  [`${server}FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "a"`, 'NeedsRepair'],
  [`${server}FATAL:  role "a" does not exist`, 'NeedsRepair'],
  ['pg_dump: error: query failed: ERROR:  out of shared memory', 'NeedsRepair'],
  ['pg_dump: error: query failed: ERROR:  could not write to file: No space left on device', 'NeedsRepair'],
  [`${server}FATAL:  database "a" does not exist`, 'StepFailed'],
  ['pg_dump: error: query failed: ERROR:  permission denied for table a', 'StepFailed'],
  ['pg_dump: error: no matching schemas were found', 'StepFailed'],
])('a program that says "%s" reports: %s', (text, type) => {
  expect(failureTypeOfText(text)).toBe(type);
});

test('an activity that meets an outage is tried again, and nothing else is', () => {
  const failureOf = (error: unknown) => toFailure(error, (text) => text);
  expect(failureOf(made('Connection terminated unexpectedly'))).toMatchObject({
    type: 'Outage',
    nonRetryable: false,
  });
  expect(failureOf(made('wrong', { code: '28P01' }))).toMatchObject({
    type: 'NeedsRepair',
    nonRetryable: true,
    message: 'wrong',
  });
  expect(failureOf(made('no such table', { code: '42P01' }))).toMatchObject({
    type: 'StepFailed',
    nonRetryable: true,
    message: 'no such table (SQLSTATE 42P01)',
  });
  expect(failureOf(made('not permitted', { code: 'EPERM' })).message).toBe('not permitted');
});
