/** A run's input: refused where it is unusable, filled so that the status answers all the same. */
import { z } from 'zod';
import type { MigrationInput } from '../src/contract';
import { Refused } from './failures';

const inputSchema = z.object({
  plan: z.string().min(1),
  requestedBy: z.string().trim().min(1),
  rehearse: z.boolean().optional(),
  checklist: z.array(z.string()).optional(),
});

// A database that is down must not keep a refusal from ending.

export function refuseUnusable(input: unknown): void {
  const parsed = inputSchema.safeParse(input);
  if (!parsed.success) {
    const problems = parsed.error.issues.map(
      (issue) => `${issue.path.join('.') || 'the input'}: ${issue.message}`,
    );
    throw new Refused([
      `The workflow's input is unusable (${problems.join('; ')}). Expected {"plan":"NAME","requestedBy":"NAME","checklist":["…"]}; start again with that.`,
    ]);
  }
  if (parsed.data.rehearse === true) {
    throw new Refused([
      'Rehearsals ("rehearse": true) are not available in this version, and a real run was not started in their place. Start without it when you mean a real migration.',
    ]);
  }
}

// Status and queries must work even for an unusable input.
/** Status and queries must work even for an unusable input. */
export function fillInput(input: unknown): MigrationInput {
  const given = (typeof input === 'object' && input !== null ? input : {}) as Partial<
    Record<keyof MigrationInput, unknown>
  >;
  const text = (value: unknown) => (typeof value === 'string' ? value : '');
  const checklist = Array.isArray(given.checklist)
    ? given.checklist.filter((item) => typeof item === 'string')
    : [];
  return {
    plan: text(given.plan),
    requestedBy: text(given.requestedBy),
    rehearse: given.rehearse === true,
    checklist,
  };
}
