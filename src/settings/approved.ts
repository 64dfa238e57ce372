/** What people approve of a plan, part by part; what isn't named here may change while a run is under way. */
import { createHash } from 'node:crypto';
import type { PlanSettings } from './schema';

/** Files that belong to a plan, as texts. */
export interface PlanTexts {
  mapping: string;
  /** The SQL files of its schema folder by name; none where a command makes the schema. */
  schemaFiles: Record<string, string>;
}

/**
 * A hash for each part that must be as it was approved (design: "Failure rules"): the databases, the mapping, the schema step, the
 * reset's mode, page, deploys, checks, and how many approve. Left out are time limits, `within`, what the way back takes (previous
 * versions, `rollbackSmoke`), who is told, the report and the monitoring.
 * @returns sha256 in hex by the part's name as an operator reads it, e.g. `the deploy "proxy"`
 */
export function approvedParts(
  plan: PlanSettings,
  { mapping, schemaFiles }: PlanTexts,
): Record<string, string> {
  const { production, backup } = plan.databases;
  const { minimum, requesterMayApprove } = plan.approval;
  const named = (what: string, items: readonly { name: string }[]) =>
    items.map((item) => [`${what} "${item.name}"`, item] as const);
  const parts: (readonly [string, unknown])[] = [
    ['databases', { production, backup }],
    ['the mapping', mapping],
    ['the schema step', plan.schema],
    ...Object.entries(schemaFiles).map(([file, text]) => [`the schema file ${file}`, text] as const),
    ['reset.mode', plan.reset?.mode ?? 'drop'],
    ['the maintenance page', plan.maintenance],
    ['the number of approvals', { minimum, requesterMayApprove }],
    ...named('the deploy', plan.deploy),
    ['the order of the deploys', plan.deploy.map(({ name }) => name)],
    ...named('the check', plan.smoke),
  ];
  return Object.fromEntries(parts.map(([name, part]) => [name, sha256(JSON.stringify(part, withoutLimits))]));
}

/** One hash for all of it, which goes into the fingerprint of an approval. */
export function hashOfParts(name: string, parts: Record<string, string>): string {
  return sha256(JSON.stringify([name, parts]));
}

// How long something may take, and what only a way back runs.
function withoutLimits(key: string, value: unknown): unknown {
  return ['timeout', 'within', 'rollback'].includes(key) ? undefined : value;
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
