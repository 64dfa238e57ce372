/** Profiles of owners and hosts: check names what is missing with the grant that mends it, or lets pass; then both ways end right. */
import { appendFileSync } from 'node:fs';
import { sentence } from '../src/errors';
import { withClient } from '../src/postgres/connect';
import { majorVersion } from '../src/postgres/versions';
import { BareMigration } from './support/bare-migration';
import type { Migration } from './support/migration';
import {
  checkedAndMended,
  keptPortraitOf,
  leftBy,
  portraitOf,
  profiles,
  sessionIn,
  withProfile,
  type Profile,
} from './support/profiles';

const ways = ['back', 'forward'] as const;
type Way = (typeof ways)[number];

const goes: Record<Way, (migration: Migration, profile: Profile) => Promise<void>> = {
  back: async (migration) => {
    const before = await portraitOf(migration);
    const run = new BareMigration(migration);
    expect(await run.check()).toEqual([]);
    await run.goTo('migrated');
    expect(await portraitOf(migration)).not.toEqual(before);
    const said = await run.goBack();
    expect(said.join()).not.toContain('otherwise than before');
    expect(await portraitOf(migration)).toEqual(before);
    expect(await leftBy(migration)).toEqual([]);
  },
  forward: async (migration, { schemas }) => {
    const before = await keptPortraitOf(migration, schemas);
    const run = new BareMigration(migration);
    expect(await run.check()).toEqual([]);
    await run.goTo('live');
    await run.end();
    expect(await keptPortraitOf(migration, schemas)).toEqual(before);
    expect(await leftBy(migration)).toEqual([]);
  },
};

describe.each(profiles)('$name', (profile) => {
  test.each(ways)('check lets pass or names the grant that mends it, and then the way %s ends right', (way) =>
    noted(profile, way, () =>
      withProfile(profile, async (migration) => {
        const host = profile.sessionOf && (await sessionIn(migration.production.url, profile.sessionOf));
        try {
          const asked = await checkedAndMended(migration, profile.user);
          const said = asked.map((sql) => sql.replace(/\(\d+\)/, '(N)'));
          expect(said.sort()).toEqual(
            profile.asked(await withClient(migration.production.url, 'test', majorVersion)).sort(),
          );
          await goes[way](migration, profile);
        } finally {
          if (host) await host.end();
        }
      }),
    ),
  );
});

/** Hands how it ended to the table of `npm run databases`. */
async function noted({ name }: Profile, way: Way, work: () => Promise<void>): Promise<void> {
  const file = process.env.KIRIKAE_DATABASES_RESULTS;
  const note = (problem: string | null) =>
    file && appendFileSync(file, `${JSON.stringify({ profile: name, way, problem })}\n`);
  try {
    await work();
    note(null);
  } catch (error) {
    note(sentence(error));
    throw error;
  }
}
