/** Step `verify` on a migrated database that was tampered with: every wrong row is named by its key. */
import { learntOf } from '../activities/learnt';
import { sealedManifest } from '../src/backup/manifest';
import { withClient } from '../src/postgres/connect';
import { findPlan, readSettings } from '../src/settings/read';
import { verifyMigration } from '../src/migrate/verify';
import { withDatabase } from '../lab/stage';
import { openNamespace } from './support/namespace';
import { approve, ending, layOutMigration, startRun, untilStatus, withWorker } from './support/migration';
import { makeTumikiTemplate } from './support/tumiki-template';

test('names the rows of the new tables that are not what the mapping gives, and those missing or doubled', async () => {
  const template = await makeTumikiTemplate(20);
  const server = await openNamespace('verify-rows');
  const migration = await layOutMigration(template.name, (plan) => {
    plan.smoke = [{ name: 'Looks right', kind: 'manual' }];
  });
  try {
    await withWorker(migration, server.namespace, async () => {
      const handle = await startRun(server.client);
      await approve(handle);
      await untilStatus(handle, ({ step, waitingFor }) => step === 'smoke' && waitingFor !== null);
      const { ids, users } = await withDatabase(migration.urls.production, async (client) => {
        const { rows } = await client.query<{ ids: string[]; users: string }>(
          `select array(select id from "User" order by id collate "C" limit 3) as ids, (select count(*) from "User") as users`,
        );
        await client.query(`
          set session_replication_role = replica;
          update "User" set name = 'tampered with' where id = '${rows[0]?.ids[0]}';
          delete from "Vote";
          insert into "OrganizationMember" (id, "organizationId", "userId", "isAdmin", "updatedAt")
            select 'extra', "organizationId", 'nobody', false, now() from "OrganizationMember" limit 1;
          update "User" set id = 'swapped' where id = '${rows[0]?.ids[1]}';
          update "User" set id = '${rows[0]?.ids[1]}' where id = '${rows[0]?.ids[2]}';
          update "User" set id = '${rows[0]?.ids[2]}' where id = 'swapped'`);
        return rows[0] ?? { ids: [], users: '' };
      });
      const problem = await verify().then(
        () => 'nothing',
        (error: unknown) => (error as Error).message,
      );
      expect(problem).toContain(
        `table User has ${users} rows, but their content is not what the mapping's expressions give: id = '${ids.join("', id = '")}'`,
      );
      expect(problem).toMatch(
        /table Vote has 0 rows, its sources select \d+: \("chatId", "messageId"\) = \('[^']+', '[^']+'\) \(missing in production\), .* and \d+ more/,
      );
      expect(problem).toMatch(
        /table OrganizationMember has \d+ rows, its sources select \d+: id = 'extra' \(extra in production\)/,
      );
      expect(problem).not.toContain('tampered');
      await handle.executeUpdate('confirm', { args: [{ by: 'bob', check: 'Looks right', passed: true }] });
      expect((await ending(handle)).outcome).toBe('migrated');
    });
  } finally {
    await server.close();
    await migration.drop();
    await template.drop();
  }

  function verify() {
    const plan = findPlan(readSettings(migration.settingsFile), 'tumiki');
    return withClient(migration.urls.production, 'test', (production) =>
      withClient(migration.urls.backup, 'test', async (backup) => {
        const manifest = await sealedManifest(backup);
        const databases = {
          production: { title: 'production', url: migration.urls.production, client: production },
          backup: { title: 'the backup', url: migration.urls.backup, client: backup },
        };
        const learnt = await learntOf(production);
        const { signal } = new AbortController();
        return verifyMigration(databases, { plan, manifest, learnt }, { label: 'test', lanes: 2, signal });
      }),
    );
  }
});
