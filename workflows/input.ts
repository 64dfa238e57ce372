/** A run's input: refused where it is unusable, filled so that the status answers all the same. */
import { z } from 'zod';
import type { MigrationInput } from '../src/contract';
import { isPlain, LIMITS, oneLine } from '../src/text';
import { Refused } from './failures';
import { Undecodable } from './payloads';

const unseen = 'holds control characters or such that are not seen';

/** A text of at most `max` characters. */
export function shortText(max: number) {
  return z.string().max(max, `at most ${max} characters`);
}

/** Whose name it is, or a name of ours: what isn't seen would make two of one. */
export const nameText = z
  .string()
  .trim()
  .min(1)
  .max(LIMITS.name, `at most ${LIMITS.name} characters`)
  .refine(isPlain, unseen);

const inputSchema = z.object({
  plan: nameText,
  requestedBy: nameText,
  rehearse: z.boolean().optional(),
  // Counted before each item is looked at.
  checklist: z
    .array(z.unknown())
    .max(LIMITS.checklist, `at most ${LIMITS.checklist} items`)
    .pipe(z.array(shortText(LIMITS.checklistItem)))
    .optional(),
});

/** What a schema found wrong, the first few of it, without a value from outside. */
export function problemsOf({ issues }: z.ZodError, whole: string): string {
  const shown = issues.slice(0, 5).map(({ path, message }) => `${path.join('.') || whole}: ${message}`);
  return [...shown, ...(issues.length > 5 ? [`and ${issues.length - 5} more`] : [])].join('; ');
}

export function refuseUnusable(input: unknown): void {
  const parsed = inputSchema.safeParse(input);
  if (!parsed.success) {
    const problems = input instanceof Undecodable ? input.why : problemsOf(parsed.error, 'the input');
    throw new Refused([
      `The workflow's input is unusable (${problems}). Expected {"plan":"NAME","requestedBy":"NAME","checklist":["…"]}; start again with that.`,
    ]);
  }
  if (parsed.data.rehearse === true) {
    throw new Refused([
      'Rehearsals ("rehearse": true) are not available in this version, and a real run was not started in their place. Start without it when you mean a real migration.',
    ]);
  }
}

/** Status and queries must work even for an unusable input. */
export function fillInput(input: unknown): MigrationInput {
  const given = (typeof input === 'object' && input !== null ? input : {}) as Partial<
    Record<keyof MigrationInput, unknown>
  >;
  const text = (value: unknown) => (typeof value === 'string' ? oneLine(value.trim(), LIMITS.name) : '');
  const checklist = Array.isArray(given.checklist)
    ? given.checklist
        .slice(0, LIMITS.checklist)
        .filter((item) => typeof item === 'string')
        .map((item) => oneLine(item, LIMITS.checklistItem))
    : [];
  return {
    plan: text(given.plan),
    requestedBy: text(given.requestedBy),
    rehearse: given.rehearse === true,
    checklist,
  };
}
