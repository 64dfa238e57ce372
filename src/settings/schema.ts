/** The shape of `kirikae.yaml`: zod schema, types and defaults. */
import ms, { type StringValue } from 'ms';
import { z } from 'zod';
import { LIMITS } from '../text';

const backupMethod = [
  'How the backup is made. `copy`: the rows are copied, and indexes and keys are built after them.',
  "`clone`: production's own server copies the database's files (`CREATE DATABASE … TEMPLATE`), with its indexes; " +
    'the backup is verified and sealed in the same way. ' +
    "It is only for a backup on production's server, and does not survive the loss of that server, as a `copy` on another server does. " +
    'It is always created anew, and holds the whole database, schemas that are not managed included. ' +
    "The backup's user must own production and be allowed to create databases. " +
    'Nobody gets into production while the clone is made: new connections wait until it is finished.',
  "The way back copies a clone's rows like any other backup's.",
].join('\n\n');
const resetMode = [
  '`drop`: they are dropped.',
  '`keep`: they are moved, in the same transaction, into a schema of their own: `kirikae_old_1`, one for each managed schema. ' +
    "Only the run's user may use it. The way back then moves them home at once, whatever their size, " +
    "and everything is compared with the backup's manifest, as after a restore. " +
    'They are dropped for good when the run ends as `migrated`, whether the backup is retired or kept. ' +
    "Until then production's server holds both.",
].join('\n\n');
const notifications =
  'Who is told when maintenance begins, an approval or an operator is waited for, production is live, ' +
  'a check fails while monitoring, and at the end. A notification that fails is a note, never a reason to stop.';

// Titles (what a value has to be) and descriptions go into schema/kirikae.schema.json and docs/settings.md: npm run generate.
const text = (title: string) => z.string().min(1).meta({ title });
const duration = z
  .string()
  .refine(isDuration, { message: 'expected a duration such as 30s, 15m or 24h' })
  .meta({ title: 'a duration', description: 'A duration such as 30s, 15m or 24h.' });
const variable = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'expected the name of an environment variable, never a URL or a secret')
  .meta({ title: 'the name of a variable', description: 'The name of an environment variable.' });
const command = z
  .array(z.string().min(1))
  .min(1)
  .meta({ title: 'a command', description: 'A program and its arguments, without a shell.' });
const environment = z.array(variable).default([]).meta({
  title: 'a list of names of variables',
  description: 'Variables of the worker that the command gets as well.',
});
const commandFolder = z.string().optional().meta({
  title: 'a folder',
  description: 'Where the command runs. Without it: the folder of kirikae.yaml.',
});
const commandTimeout = duration.describe('How long the command may take. A time-out is a failure.');

const databaseSettings = (url: string) =>
  z.strictObject({
    urlEnv: variable.describe(url),
    create: z
      .boolean()
      .default(false)
      .describe(
        "Creates the database if it is missing, over a connection to the database `postgres` of the URL's server.",
      ),
  });

const probe = z
  .strictObject({
    url: z.url().describe("The address that is asked, from the worker's machine."),
    on: z.int().default(503).describe('The HTTP status that is expected while the page is on.'),
    off: z.int().default(200).describe('The HTTP status that is expected while the page is off.'),
    within: duration.default('30s').describe('How long it may take until the expected status comes.'),
  })
  .describe('How the worker sees whether the page shows.');

const maintenanceSettings = z
  .discriminatedUnion('kind', [
    z.strictObject({
      kind: z
        .literal('nginx')
        .describe('A web server shows the page while a file exists: deploy/nginx.conf.'),
      flagFile: text('a file').describe(
        'The page shows while this file exists. The run creates and removes it; inside stands whose it is.',
      ),
      probe,
    }),
    z.strictObject({
      kind: z
        .literal('command')
        .describe(
          'Commands of your own turn the page on and off. They get `KIRIKAE_CLAIM` and `KIRIKAE_WINDOW`, and may run more than once.',
        ),
      on: command.describe('The command that turns the page on.'),
      off: command.describe('The command that turns the page off.'),
      cwd: commandFolder,
      timeout: commandTimeout.default('2m'),
      env: environment,
      probe,
    }),
  ])
  .describe(
    'The maintenance page. While it is on, it alone keeps users away from the new version until everything is checked.',
  );

const schemaSettings = z
  .discriminatedUnion('kind', [
    z.strictObject({
      kind: z.literal('sql').describe('SQL files.'),
      dir: text('a folder').describe('Its `*.sql` files run in the order of their names, each sent whole.'),
    }),
    z.strictObject({
      kind: z.literal('command').describe('A command, for example that of an ORM.'),
      run: command.describe("The command that makes the new schema, for example `[pnpm, 'db:deploy']`."),
      cwd: commandFolder,
      urlEnv: z.array(variable).min(1).meta({
        title: 'a list of names of variables',
        description:
          'Every variable that the command reads a URL from. All are set to the URL of the database that is to get the new schema: first the shadow, later production.',
      }),
      timeout: commandTimeout.default('15m'),
      env: environment,
    }),
  ])
  .describe(
    'How the new schema is made. It runs on the shadow first, during preflight; production must get the same schema later. ' +
      'The mapping is compared with it.',
  );

const deploySettings = z.strictObject({
  name: text('a name').describe('The name in the status and in the report. Each name stands once.'),
  run: command.describe('The command that deploys the new version.'),
  timeout: commandTimeout.default('15m'),
  rollback: command
    .optional()
    .describe(
      'The command that puts the previous version back. It runs on the way back if the deploy had begun. ' +
        'Without it a note of the run says that you have to bring the old version back yourself.',
    ),
  cwd: commandFolder,
  env: environment,
});

const checkName = text('a name')
  .max(LIMITS.check)
  .describe(
    'The name in the status and in the report. Each name stands once. `kirikae confirm` names a manual check by it.',
  );
const smokeSettings = z.discriminatedUnion('kind', [
  z.strictObject({
    name: checkName,
    kind: z.literal('http').describe('Asks an address by GET; redirects are not followed.'),
    url: z.url().describe('The address. The maintenance page is still on, so the address must go round it.'),
    expect: z
      .strictObject({
        status: z.int().default(200).describe('The HTTP status.'),
        bodyIncludes: z.string().optional().describe('A text that the body must contain.'),
      })
      .prefault({})
      .describe('What the answer must be.'),
    within: duration.default('30s').describe('How long the expected answer may take.'),
  }),
  z.strictObject({
    name: checkName,
    kind: z.literal('sql').describe('A query on production.'),
    sql: text('SQL').describe('The query. It is read on production and must return no row.'),
  }),
  z.strictObject({
    name: checkName,
    kind: z.literal('command').describe('A command that exits with 0.'),
    run: command.describe('The command.'),
    timeout: commandTimeout.default('2m'),
    cwd: commandFolder,
    env: environment,
  }),
  z.strictObject({
    name: checkName,
    kind: z.literal('manual').describe('A person looks and confirms. The run waits for it.'),
  }),
]);

const webhook = z.strictObject({
  kind: z.literal('webhook').describe('It gets `{"text": "…"}` by POST.'),
  urlEnv: variable.describe('The variable with the address.'),
});

export const planSettings = z.strictObject({
  databases: z
    .strictObject({
      production: z
        .strictObject({
          urlEnv: variable.describe(
            'The variable with the URL: a direct connection, not through a pooler, of a user that owns the database and may end other sessions.',
          ),
          schemas: z.array(z.string().min(1)).min(1).default(['public']).meta({
            title: 'a list of schemas',
            description:
              'The managed schemas: they are backed up, emptied and filled. All other schemas are left alone.',
          }),
        })
        .describe('The database that is migrated.'),
      backup: databaseSettings('The variable with the URL of the backup.')
        .extend({
          method: z.enum(['copy', 'clone']).optional().meta({ default: 'copy', description: backupMethod }),
        })
        .describe(
          "Where the backup goes; better on another server. It is refused while it holds other people's tables or another run's backup.",
        ),
      shadow: databaseSettings('The variable with the URL of the shadow.').describe(
        "A throw-away database of production's PostgreSQL version. It gets the new schema before production does.",
      ),
      rehearsal: databaseSettings('The variable with the URL.')
        .optional()
        .describe('Accepted, but not used in this version.'),
    })
    .describe('The databases of a plan. They must be different ones.'),
  hostQueue: text('a task queue')
    .optional()
    .describe(
      'A second task queue, for the machine that holds the flag file and the deploy rights. ' +
        'The page, the schema step, deploys and command checks run there. Every worker with these settings serves it.',
    ),
  checklist: z.array(z.string().min(1).max(LIMITS.checklistItem)).max(LIMITS.checklist).default([]).meta({
    title: 'a list of sentences',
    description: 'Sentences that whoever starts a run must confirm, word for word.',
  }),
  maintenance: maintenanceSettings,
  approval: z
    .strictObject({
      minimum: z.int().min(1).default(1).describe('How many different names must approve.'),
      timeout: duration
        .default('2h')
        .describe('How long the run waits. After that it undoes what it did and ends as `rejected`.'),
      requesterMayApprove: z
        .boolean()
        .default(true)
        .describe('With `false` the name that started the run may not approve it.'),
    })
    .prefault({})
    .describe('Who has to agree before anything is dropped.'),
  schema: schemaSettings,
  mapping: text('a file').describe('The mapping file: docs/mapping.md.'),
  reset: z
    .strictObject({ mode: z.enum(['drop', 'keep']).describe(resetMode) })
    .optional()
    .meta({ default: { mode: 'drop' }, description: 'What happens to the old objects at the reset.' }),
  deploy: z.array(deploySettings).default([]).describe('The deploys of the new version, in this order.'),
  smoke: z
    .array(smokeSettings)
    .default([])
    .describe('The checks of the new version. They run while the maintenance page is still on.'),
  monitor: z
    .strictObject({
      for: duration.default('24h').describe('For how long after going live.'),
      every: duration.default('5m').describe('The time between two rounds.'),
    })
    .prefault({})
    .describe('After going live the automatic smoke checks are repeated, at least once.'),
  rollbackSmoke: z.array(smokeSettings).optional().meta({
    title: 'a list',
    description:
      'The checks after a way back, when the old version is there again. Preflight tries each on production as it is. Manual ones are skipped. Without it: the `http` checks of `smoke`.',
  }),
  retireBackup: z
    .strictObject({
      after: z
        .enum(['approval', 'never'])
        .default('approval')
        .describe(
          'With `approval` the run waits until a person says that the backup may be deleted. With `never` it keeps the backup and ends without waiting.',
        ),
    })
    .prefault({})
    .describe('What becomes of the backup after the monitoring.'),
  report: z
    .strictObject({
      dir: text('a folder').default('./reports').describe('A folder. The files are named after the run.'),
    })
    .prefault({})
    .describe('Where the report goes, as JSON and as one HTML page.'),
  patience: duration
    .default('5m')
    .describe(
      "How long an outage is borne in silence: one that lasts longer is told, again and again. A backup that isn't needed any more and resists its removal for longer is left and named.",
    ),
  notify: z.array(webhook).default([]).describe(notifications),
});

export const settingsSchema = z.strictObject({
  plans: z
    .record(z.string().min(1).max(LIMITS.name), planSettings)
    .describe('The plans by name. A run names one of them.'),
});

type SmokeCheck = z.output<typeof smokeSettings>;
export type AutomaticCheck = Exclude<SmokeCheck, { kind: 'manual' }>;
export type PlanSettings = z.output<typeof planSettings>;

/** Milliseconds of a duration that the schema has accepted. */
export function milliseconds(value: string): number {
  return ms(value as StringValue);
}

function isDuration(value: string): boolean {
  return /^\d/.test(value) && value.length <= 100 && Number.isFinite(ms(value as StringValue));
}
