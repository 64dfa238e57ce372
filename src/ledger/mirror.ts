/** The mirror of the claim in the backup: one row, and the second witness of how far a run has come. */
import type { Client } from 'pg';
import { all, hasRelation, inTransaction } from '../postgres/connect';
import type { Claim } from './claim';
import { mirrorDdl } from './tables';

/** Writes the claim into the backup, in place of what stood there; never an older one over a newer. */
export async function writeMirror(backup: Client, claim: Claim): Promise<void> {
  await inTransaction(backup, async () => {
    await backup.query(`set local client_min_messages = warning;${mirrorDdl}`);
    await backup.query(
      `insert into kirikae.mirror (claim, phase, seq, window_no, content) values ($1, $2, $3, $4, $5)
       on conflict (singleton) do update set claim = excluded.claim, phase = excluded.phase, seq = excluded.seq,
         window_no = excluded.window_no, content = excluded.content, written_at = now()
       where kirikae.mirror.seq <= excluded.seq or kirikae.mirror.claim <> excluded.claim`,
      [claim.id, claim.phase, claim.seq, claim.window, JSON.stringify(claim)],
    );
  });
}

/** The claim as the mirror has it; null where there is none. */
export async function readMirror(backup: Client): Promise<Claim | null> {
  if (!(await hasRelation(backup, 'kirikae.mirror'))) return null;
  const [row] = await all<{ content: string }>(backup, 'select content from kirikae.mirror');
  return row ? (JSON.parse(row.content) as Claim) : null;
}
