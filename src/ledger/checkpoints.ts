/** Which stages of a copy have been committed: noted on the copy's target, in the transaction of what they did. */
import type { Client } from 'pg';
import { all, one } from '../postgres/connect';
import { checkpointDdl } from './tables';

/** A phase of copying and which attempt at it. */
export interface PhaseAttempt {
  name: string;
  attempt: number;
}

/** True when a stage of a phase has been committed. */
export async function stageDone(client: Client, phase: PhaseAttempt, stage: string): Promise<boolean> {
  const rows = await all(
    client,
    'select 1 from kirikae.stage where phase = $1 and attempt = $2 and name = $3',
    [phase.name, phase.attempt, stage],
  );
  return rows.length > 0;
}

/** The highest attempt of a phase that the checkpoints know; 0 when there is none. */
export async function lastAttempt(client: Client, phase: string): Promise<number> {
  await client.query(`set client_min_messages = warning;${checkpointDdl}`);
  const { last } = await one<{ last: number }>(
    client,
    'select coalesce(max(attempt), 0) as last from kirikae.stage where phase = $1',
    [phase],
  );
  return last;
}

/** Notes a stage as done, in the caller's transaction. */
export async function noteStage(client: Client, phase: PhaseAttempt, stage: string): Promise<void> {
  await client.query(
    'insert into kirikae.stage (phase, attempt, name) values ($1, $2, $3) on conflict do nothing',
    [phase.name, phase.attempt, stage],
  );
}
