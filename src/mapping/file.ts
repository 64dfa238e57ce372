/** The mapping file: its zod schema, and reading it with every problem reported at once. */
import { parseDocument } from 'yaml';
import { z } from 'zod';
import { UsageError } from '../errors';

const inQuotes = 'expected SQL in quotes, e.g. "false" or "source.name"';
// Descriptions go into schema/mapping.schema.json (npm run generate), which editors show.
// YAML reads an unquoted false or 10 as a value of its own; its SQL is the same text.
const expression = z
  .union([z.string(), z.boolean(), z.int()], { error: inQuotes })
  .transform(String)
  .refine((text) => text.trim() !== '', { message: inQuotes })
  .describe('An SQL expression over the row `source`, or the word default.');
const sql = z.string(inQuotes).refine((text) => text.trim() !== '', { message: inQuotes });
const name = z.string('expected a name').min(1, 'expected a name');
const label = z
  .union([z.string(), z.boolean(), z.number()], { error: 'expected a value of the enum' })
  .transform(String)
  .describe('The value in the new schema.');
const reason = z
  .string('expected a reason in words')
  .describe('The reason, which the person who approves will read.');
const columns = z.record(z.string(), expression);
/** A key that is there without anything below it is as good as absent. */
const optionalRecord = <T extends z.ZodType>(values: T) =>
  z
    .record(z.string(), values)
    .nullish()
    .transform((record) => record ?? {});

const from = name.describe(
  'The old table that the rows come from. A name without a schema belongs to the first managed schema.',
);
const join = sql.describe(
  'A join, left join or cross join. Each source row must keep exactly one row: none lost, none twice.',
);

const extraRows = z
  .strictObject({
    from,
    join: join.optional(),
    where: sql.optional().describe('A condition: which rows of that table make a row.'),
    columns: columns.describe('What each column of the new table gets. Every column is named.'),
  })
  .describe('Extra rows of the new table, one for each row of another table.');

const tableMapping = z.strictObject({
  from: from.optional().describe('The old table, where its name was another.'),
  join: join.optional(),
  columns: columns
    .nullish()
    .transform((record) => record ?? {})
    .describe('What columns of the new table get. A column that is not named is copied under its own name.'),
  rows: z
    .array(extraRows)
    .nullish()
    .transform((rows) => rows ?? [])
    .describe('Extra rows, made of the rows of other tables.'),
});

export const mappingSchema = z.strictObject({
  enums: optionalRecord(
    z.record(z.string(), label).describe('The old value, and what it becomes in the new schema.'),
  ).describe('Values that change, by enum type. Values that are in both enums need no word.'),
  tables: optionalRecord(tableMapping).describe(
    'Tables of the new schema by name. A table that is not named is copied under its own name.',
  ),
  drop: z
    .strictObject({
      tables: optionalRecord(reason).describe('Old tables that are left behind, each with the reason.'),
      columns: optionalRecord(z.record(z.string(), reason)).describe(
        'Old columns that are left behind, by table, each with the reason.',
      ),
    })
    .nullish()
    .transform((drop) => drop ?? { tables: {}, columns: {} })
    .describe('What is left behind. Rows and values are counted and shown before the approval.'),
  filledBySchema: optionalRecord(reason.describe('The reason.')).describe(
    'Tables of the new schema that its own step fills. They are left as they are.',
  ),
  assertions: z
    .array(
      z.strictObject({
        name: name.describe('The name in the status and in the report.'),
        sql: sql.describe('A reading query on the migrated production that must return no row.'),
      }),
    )
    .nullish()
    .transform((assertions) => assertions ?? [])
    .describe('Queries on the migrated production that must return no row.'),
});

export type Mapping = z.output<typeof mappingSchema>;
export type TableMapping = Mapping['tables'][string];

/**
 * Parses a mapping file; an empty one copies everything under its own name.
 * @param file how messages name the file
 * @throws UsageError with one sentence a problem
 */
export function parseMapping(text: string, file: string): Mapping {
  const document = parseDocument(text, { prettyErrors: true });
  if (document.errors.length > 0) {
    throw new UsageError(
      document.errors.map(
        (error) => `${file} is not valid YAML: ${firstLine(error.message)} Correct it there.`,
      ),
    );
  }
  const parsed = mappingSchema.safeParse((document.toJS() as unknown) ?? {});
  if (!parsed.success) throw new UsageError(parsed.error.issues.map((issue) => describe(file, issue)));
  return parsed.data;
}

function firstLine(message: string): string {
  return (message.split('\n')[0] ?? '').replace(/:$/, '.');
}

function describe(file: string, issue: z.core.$ZodIssue): string {
  const where = issue.path.map(String).join(' > ') || 'the file';
  if (issue.code === 'unrecognized_keys') {
    const keys = issue.keys.map((key) => `"${key}"`).join(', ');
    return `${file}: ${where} has the unknown key ${keys}. Remove it or correct its spelling.`;
  }
  return `${file}: ${where}: ${issue.message}. Correct it there.`;
}
