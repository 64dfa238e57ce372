/** The mapping file: its zod schema, and reading it with every problem reported at once. */
import { parseDocument } from 'yaml';
import { z } from 'zod';
import { UsageError } from '../errors';

const inQuotes = 'expected SQL in quotes, e.g. "false" or "source.name"';
// YAML reads an unquoted false or 10 as a value of its own; its SQL is the same text.
const expression = z
  .union([z.string(), z.boolean(), z.int()], { error: inQuotes })
  .transform(String)
  .refine((text) => text.trim() !== '', { message: inQuotes });
const sql = z.string(inQuotes).refine((text) => text.trim() !== '', { message: inQuotes });
const name = z.string('expected a name').min(1, 'expected a name');
const label = z
  .union([z.string(), z.boolean(), z.number()], { error: 'expected a value of the enum' })
  .transform(String);
const reason = z.string('expected a reason in words');
const columns = z.record(z.string(), expression);
/** A key that is there without anything below it is as good as absent. */
const optionalRecord = <T extends z.ZodType>(values: T) =>
  z
    .record(z.string(), values)
    .nullish()
    .transform((record) => record ?? {});

const extraRows = z.strictObject({ from: name, join: sql.optional(), where: sql.optional(), columns });

const tableMapping = z.strictObject({
  from: name.optional(),
  join: sql.optional(),
  columns: columns.nullish().transform((record) => record ?? {}),
  rows: z
    .array(extraRows)
    .nullish()
    .transform((rows) => rows ?? []),
});

const mappingSchema = z.strictObject({
  enums: optionalRecord(z.record(z.string(), label)),
  tables: optionalRecord(tableMapping),
  drop: z
    .strictObject({ tables: optionalRecord(reason), columns: optionalRecord(z.record(z.string(), reason)) })
    .nullish()
    .transform((drop) => drop ?? { tables: {}, columns: {} }),
  filledBySchema: optionalRecord(reason),
  assertions: z
    .array(z.strictObject({ name, sql }))
    .nullish()
    .transform((assertions) => assertions ?? []),
});

export type Mapping = z.output<typeof mappingSchema>;
export type TableMapping = Mapping['tables'][string];
export type ExtraRows = TableMapping['rows'][number];

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
