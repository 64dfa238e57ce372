/** The table of profiles in docs/what-is-carried.md: which profile ended right in which way, by PostgreSQL's version. Pure. */

/** How a profile's run in one way ended; null where it ended right. */
export interface ProfileResult {
  version: string;
  profile: string;
  way: string;
  problem: string | null;
}

const begin =
  '<!-- The table below is written by `npm run databases -- --profiles --versions 14,15,16,17,18`. -->';
const end = '<!-- The end of the table. -->';

/** Markdown, as Prettier pads it. */
export function profilesTable(results: readonly ProfileResult[]): string {
  const versions = [...new Set(results.map(({ version }) => version))].sort();
  const lines = new Map<string, string[]>();
  for (const { profile, way } of results) lines.set(`${profile}/${way}`, [profile, way]);
  const cell = (profile: string, way: string, version: string) => {
    const found = results.find(
      (result) => result.profile === profile && result.way === way && result.version === version,
    );
    return found === undefined ? 'not run' : found.problem === null ? 'right' : 'wrong';
  };
  const rows = [...lines.values()].map(([profile = '', way = '']) => [
    profile,
    way,
    ...versions.map((version) => cell(profile, way, version)),
  ]);
  const head = ['profile', 'way', ...versions];
  const widths = head.map((title, column) =>
    Math.max(3, title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]) =>
    `| ${cells.map((text, column) => text.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}

/** The page with its table made anew. @throws Error when the page has no place for it */
export function withProfilesTable(page: string, table: string): string {
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`docs/what-is-carried.md lacks the lines ${begin} and ${end}.`);
  return `${page.slice(0, from)}${begin}\n\n${table}\n\n${page.slice(to)}`;
}
