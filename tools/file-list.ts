/** The lists of files in ARCHITECTURE.md and CONTRIBUTING.md: a line a folder, and under it a line a file, from its first line. */
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';

type Folders = Record<string, string>;

/** The product, in ARCHITECTURE.md. */
export const productFolders: Folders = {
  cli: 'the command `kirikae`; nothing below imports it',
  workflows: "deterministic, bundled into Temporal's sandbox",
  'workflows/steps': 'the steps of the runbook, in its order',
  activities: 'thin, a file for a part of the runbook: open sessions, look into the ledger, call `src`',
  src: 'what is done; no Temporal in here',
  'src/settings': '`kirikae.yaml`, and what it names',
  'src/postgres': "PostgreSQL's connections, catalogues, definitions and databases",
  'src/ledger': 'all that knows schema `kirikae`',
  'src/host': 'what touches the outside world: commands, the page, checks, messages',
  'src/mapping': 'the mapping file and what it compiles to',
  'src/engine': 'the one copy engine: parts, streams, hashes, keys and indexes',
  'src/backup': 'step `backup`',
  'src/new-schema': 'step `deploySchema`, and the shadow',
  'src/reset': 'steps `fence` and `reset`',
  'src/migrate': 'steps `migrate` and `verify`',
  'src/restore': 'the way back of the rows',
  'src/way-back': 'the way back as the ledger calls for it: for the workflow and for `recover`',
  'src/preflight': 'step `preflight`',
  'src/report': 'step `report`',
};

/** What surrounds it, in CONTRIBUTING.md. */
export const workshopFolders: Folders = {
  lab: 'one stage of servers, plans and workers; tests, demo, bench and soak are built from it',
  'lab/demo': '`npm run demo`',
  'lab/bench': '`npm run bench`',
  'lab/soak': '`npm run soak`',
  'lab/faults': '`npm run faults`',
  tools: 'providing PostgreSQL and Temporal, building, running',
};

const begin = '<!-- The list below is written by `npm run generate` from the first line of each file. -->';
const end = '<!-- The end of the list. -->';
const maxLine = 160;

/**
 * The page with its list made anew.
 * @param page the page as it is; @param root the project's folder
 * @throws Error naming a folder or file that doesn't say what it is for
 */
export function withFileList(page: string, root: string, folders: Folders): string {
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`A page lacks the lines ${begin} and ${end}.`);
  const lines = Object.keys(folders).flatMap((folder) => [
    `- **\`${folder}/\`**: ${folders[folder]}`,
    ...linesOf(folder, root),
  ]);
  return `${page.slice(0, from)}${begin}\n\n${lines.join('\n')}\n\n${page.slice(to)}`;
}

function linesOf(folder: string, root: string): string[] {
  const entries = readdirSync(path.join(root, folder), { withFileTypes: true });
  for (const entry of entries) {
    const inner = `${folder}/${entry.name}`;
    if (entry.isDirectory() && !Object.hasOwn({ ...productFolders, ...workshopFolders }, inner))
      throw new Error(`tools/file-list.ts doesn't say what the folder ${inner} is for. Add a line for it.`);
  }
  const files = entries.map((entry) => entry.name).filter((name) => /\.(ts|mjs)$/.test(name));
  return files.sort().map((name) => `  - \`${name}\`: ${purposeOf(path.join(root, folder, name))}`);
}

// The first line of a file says what it is for.
function purposeOf(file: string): string {
  const [, purpose] =
    /^(?:#!.*\n)?\/\*\*\s*(?:\* )?(.*?)(?:\s*\*\/)?\n/.exec(readFileSync(file, 'utf8')) ?? [];
  if (!purpose) throw new Error(`The first line of ${file} doesn't say what the file is for: /** … */`);
  const shown = purpose.replace(/\.$/, '').replace(/\|/g, '\\|');
  if (shown.length + path.basename(file).length > maxLine - 8)
    throw new Error(`The first line of ${file} has more than fits into a line of a page. Shorten it.`);
  return shown;
}
