/** What docs/if-it-stops.md, "By hand", has from the sources: a way for each place of a ledger, its tables, default privileges. */
import { FORWARD, PHASES, type Phase, type WayBackStepName } from '../src/contract';
import { standingAt } from '../src/ledger/claim';
import { mayGo, needsRestore, wayBack, type Standing, type Way } from '../src/ledger/phases';
import { ledgerTables } from '../src/ledger/tables';
import { defaultPrivilegesSql } from '../src/postgres/default-privileges';
import { computing, everywhere, pinOptions } from '../src/postgres/pinned-settings';

/** Where a ledger can stand, and the headings to follow; `because` says when, where there is a choice. */
export interface Entry {
  phase: Phase;
  /** Null where it doesn't go back. */
  from: Phase | null;
  ways: { because: string | null; headings: string[] }[];
}

const pieces = {
  ways: {
    begin: '<!-- The list below is written by `npm run generate` from wayBack() in src/ledger/phases.ts. -->',
    end: '<!-- The end of the list. -->',
  },
  tables: {
    begin: '<!-- The block below is written by `npm run generate` from src/ledger/tables.ts. -->',
    end: '<!-- The end of the block. -->',
  },
  settings: {
    begin: '# Written by `npm run generate` from src/postgres/pinned-settings.ts, to its end.',
    end: '# The end of settings.',
  },
  privileges: {
    begin: '# Written by `npm run generate` from src/postgres/default-privileges.ts, to its end.',
    end: '# The end of default privileges.',
  },
};
const lineWidth = 120;

/**
 * The page with its generated pieces made anew.
 * @param page the page as it is
 * @throws Error when the page lacks the lines between which a piece stands
 */
export function byHandPage(page: string): string {
  const texts = {
    ways: listOf(byHandEntries()),
    tables: removal(),
    settings: sessionSettings(),
    privileges: withoutDefaultPrivileges(),
  };
  return (Object.keys(texts) as (keyof typeof texts)[]).reduce(
    (made, name) => within(made, pieces[name], texts[name]),
    page,
  );
}

function within(page: string, { begin, end }: { begin: string; end: string }, text: string): string {
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`docs/if-it-stops.md lacks the lines ${begin} and ${end}`);
  return `${page.slice(0, from)}${begin}\n\n${text}\n\n${page.slice(to)}`;
}

/** Every place where a ledger can stand, as far as the way back tells them apart, in the order of the phases. */
export function byHandEntries(): Entry[] {
  const reached = new Map<string, Standing>();
  const open: Standing[] = [{ phase: 'claimed', seq: 1, window: 1, from: null }];
  for (let standing = open.pop(); standing; standing = open.pop()) {
    const key = `${standing.phase} ${standing.from}`;
    if (reached.has(key)) continue;
    reached.set(key, standing);
    for (const to of PHASES) if (mayGo(standing, to)) open.push(standingAt(standing, to));
  }
  const order = ({ phase, from }: Standing) =>
    PHASES.indexOf(phase) * PHASES.length + (from ? PHASES.indexOf(from) : 0);
  return [...reached.values()]
    .sort((a, b) => order(a) - order(b))
    .map(({ phase, from }) => ({ phase, from, ways: waysFrom({ phase, from }) }));
}

type Place = Pick<Standing, 'phase' | 'from'>;

function waysFrom(place: Place): Entry['ways'] {
  const usual = headingsOf(place, wayBack(place, 'goBack'));
  if (place.phase === 'live') {
    const back = headingsOf(place, wayBack(place, 'rollBack'));
    return [
      { because: 'As it is; nothing is restored', headings: usual },
      { because: 'Only where people have accepted that what users wrote is lost', headings: back },
    ];
  }
  const forward = wayBack(place, 'standDown');
  // By hand nobody goes on with a migration: only what is live already can be left as it is.
  if (forward.kind !== 'forward' || forward.to !== 'live') return [{ because: null, headings: usual }];
  return [
    { because: 'Back, as people have agreed', headings: usual },
    {
      because: 'Where the backup is not what was sealed, or people take it back',
      headings: headingsOf(place, forward),
    },
  ];
}

function headingsOf(place: Place, way: Way): string[] {
  switch (way.kind) {
    case 'refused':
      throw new Error(`There is no way from ${place.phase}: ${way.why}`);
    case 'forward':
      return ['Stand down', 'Page off', 'Over'];
    case 'close':
    case 'back': {
      const isForward = (FORWARD as readonly Phase[]).includes(place.phase);
      const turn = place.phase === 'live' ? 'Roll back from live' : 'Turn back';
      return [
        ...(isForward && way.kind === 'back' ? [turn] : []),
        ...way.steps.flatMap((step) => headingsOfStep(step, place, way.kind)),
        'Over',
      ];
    }
  }
}

function headingsOfStep(step: WayBackStepName, { phase, from }: Place, kind: Way['kind']): string[] {
  switch (step) {
    case 'proveBackup':
      return ['Prove the backup'];
    case 'pageOn':
      return ['Page on'];
    case 'fence':
      return ['Raise the fence'];
    case 'aside':
      return ['Set aside'];
    case 'empty':
      return ['Restore'];
    // Emptied and filled by one block.
    case 'restore':
      return [];
    case 'compare':
      return ['Compare'];
    case 'liftFence':
      return [needsRestore(from ?? phase) ? 'Write restored' : 'Lift the fence'];
    case 'undoDeploys':
      return ['Undo the deploys'];
    case 'rollbackSmoke':
      return ['Look at the old version'];
    case 'pageOff':
      return kind === 'close' || phase === 'home' ? ['Page off'] : ['Home', 'Page off'];
    case 'removeBackup':
      return ['Remove the backup'];
  }
}

function listOf(entries: Entry[]): string {
  const groups: { entry: Entry; phases: Phase[]; from: Phase[] }[] = [];
  for (const entry of entries) {
    const last = groups.at(-1);
    const isAlike =
      last &&
      JSON.stringify(last.entry.ways) === JSON.stringify(entry.ways) &&
      (entry.phase === last.entry.phase || (entry.from === null && last.entry.from === null));
    const group = isAlike ? last : { entry, phases: [], from: [] };
    if (!isAlike) groups.push(group);
    if (!group.phases.includes(entry.phase)) group.phases.push(entry.phase);
    if (entry.from) group.from.push(entry.from);
  }
  return groups
    .flatMap(({ entry, phases, from }) => {
      // A phase that has but one way has it wherever it comes from.
      const isOnly = groups.filter(({ entry: { phase } }) => phase === entry.phase).length === 1;
      const head = `- Phase ${either(phases)}${isOnly ? '' : `, going back from ${either(from)}`}:`;
      const [only, ...more] = entry.ways;
      if (only && more.length === 0)
        return [...wrap(head, '  '), ...wrap(`  ${linksOf(only.headings)}`, '  ')];
      return [
        ...wrap(head, '  '),
        ...entry.ways.flatMap((way) => wrap(`  - ${way.because}: ${linksOf(way.headings)}`, '    ')),
      ];
    })
    .join('\n');
}

function linksOf(headings: string[]): string {
  return headings.map((text) => `[${text}](#${text.toLowerCase().replaceAll(' ', '-')})`).join(' → ');
}

function either(phases: Phase[]): string {
  const names = phases.map((phase) => `\`${phase}\``);
  const last = names.pop() ?? '';
  return names.length === 0 ? last : `${names.join(', ')} or ${last}`;
}

// Where a link leads doesn't count, and a link stays on one line.
function wrap(text: string, indent: string): string[] {
  const words = text.trim().match(/\[[^\]]*\]\([^)]*\)|\S+/g) ?? [];
  const seen = (line: string) => line.replace(/\]\([^)]*\)/g, ']').length;
  const lines = [`${/^ */.exec(text)?.[0] ?? ''}${words.shift() ?? ''}`];
  for (const word of words) {
    const line = `${lines.at(-1)} ${word}`;
    if (seen(line) > lineWidth) lines.push(`${indent}${word}`);
    else lines[lines.length - 1] = line;
  }
  return lines;
}

function removal(): string {
  const tables: string[] = [];
  for (const table of ledgerTables.map((name) => `kirikae.${name}`)) {
    const line = `${tables.at(-1)} ${table},`;
    if (tables.length > 0 && line.length <= 100) tables[tables.length - 1] = line;
    else tables.push(`  ${table},`);
  }
  return [
    '```sh',
    '# By hand: over',
    `advance "phase in ('live', 'home') and not fence_on" over | on_production`,
    'mirror',
    "on_production --single-transaction <<'SQL'",
    'set client_min_messages = warning;',
    "select to_regclass('kirikae.kept') is not null as kept \\gset",
    '\\if :kept',
    "select format('drop schema %I cascade', schema) from kirikae.kept \\gexec",
    '\\endif',
    'drop table if exists',
    tables.join('\n').replace(/,$/, ';'),
    'drop schema kirikae;',
    'SQL',
    '```',
  ].join('\n');
}

// What indexes, checks and views compute under is production's own where they are made again.
function sessionSettings(): string {
  const lines = (settings: Readonly<Record<string, string>>) =>
    wrap(pinOptions(settings).replaceAll('\\ ', '\\\u0001'), '  ').join('\n').replaceAll('\u0001', ' ');
  return [
    `PINS='${lines({ ...everywhere, synchronous_commit: 'on' })}'`,
    `export PGOPTIONS="$PINS`,
    `  ${lines(computing)}"`,
  ].join('\n');
}

// What stands is read before it is taken away.
function withoutDefaultPrivileges(): string {
  const read = (name: string, sql: string) => [
    `  ${name}=$(on_production -At <<'SQL' | sed 's/$/;/'`,
    sql.trim().replace(/^ {2}/gm, ''),
    'SQL',
    '  )',
  ];
  return [
    '# SQL that does what it is given as if nobody had set default privileges, which are the same again after it.',
    'without_default_privileges() {',
    '  local away back',
    ...read('away', defaultPrivilegesSql('set', 'usual')),
    ...read('back', defaultPrivilegesSql('usual', 'set')),
    `  echo "$away" && cat && echo "$back"`,
    '}',
  ].join('\n');
}
