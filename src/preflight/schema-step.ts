/** The schema step looked at before it runs anywhere: what of it would reach beyond the database that it is given. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { loadModule, parseSync } from 'libpg-query';
import { sentence } from '../errors';
import { placesOf } from '../postgres/endpoint';
import { placeOf } from '../postgres/url';
import { sqlFiles, type Plan } from '../settings/read';

type Node = Record<string, unknown>;

// Statements on what all databases of a server share.
const beyond =
  /^(AlterDatabase\w*Stmt|CreatedbStmt|DropdbStmt|CreateRoleStmt|AlterRole\w*Stmt|DropRoleStmt|GrantRoleStmt|AlterSystemStmt|\w*TableSpace\w*Stmt|\w*SubscriptionStmt|ReassignOwnedStmt|DropOwnedStmt)$/;
const shared = /^OBJECT_(DATABASE|ROLE|TABLESPACE|SUBSCRIPTION|PARAMETER_ACL)$/;
const calls = /^(dblink\w*|cron\..*)$/;
// Of a block whose text PostgreSQL's parser doesn't read.
const beyondInBlock =
  /\b(alter\s+(database|role|user|system|tablespace|subscription)|(create|drop)\s+(role|user|group|database|tablespace|subscription)|reassign\s+owned|drop\s+owned|dblink\w*\s*\(|cron\s*\.\s*\w+\s*\()/i;

/** @returns findings: statements that act beyond one database, and addresses that its tool may take for its own */
export async function lookAtSchemaStep(plan: Plan): Promise<string[]> {
  await loadModule();
  const { schema } = plan;
  if (schema.kind === 'sql')
    return sqlFiles(path.resolve(plan.folder, schema.dir)).flatMap((file) => findBeyond(file));
  const cwd = path.resolve(plan.folder, schema.cwd ?? '.');
  return [
    ...migrationFiles(cwd).flatMap((file) => findBeyond(file)),
    ...findOtherAddresses(plan, cwd, schema.urlEnv),
  ];
}

/** One for each statement of a file that acts on roles, other databases, their settings or the server. */
function findBeyond(file: string): string[] {
  const text = readFileSync(file);
  let statements: { stmt?: Node; stmt_location?: number; stmt_len?: number }[];
  try {
    statements = (parseSync(text.toString('utf8')) as { stmts?: typeof statements }).stmts ?? [];
  } catch {
    // Whoever runs it says why, unless it is of a tool's own kind.
    return [];
  }
  return statements
    .filter(({ stmt }) => reachesBeyond(stmt))
    .map(({ stmt_location: at = 0, stmt_len: length = text.length }) => {
      const before =
        text.subarray(0, at).toString('utf8') + (/^\s*/.exec(text.subarray(at).toString('utf8'))?.[0] ?? '');
      const sql = text
        .subarray(at, at + length)
        .toString('utf8')
        .trim()
        .replace(/\s+/g, ' ');
      return `${file}, line ${before.split('\n').length}: "${sql.slice(0, 120)}" reaches beyond one database, so that it would change production from the shadow. Take it out of the schema step, and do it by hand before the run or after it.`;
    });
}

function reachesBeyond(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(reachesBeyond);
  if (typeof value !== 'object' || value === null) return false;
  return Object.entries(value as Node).some(([key, inner]) => {
    if (beyond.test(key)) return true;
    // A function is only made here; what it does is done by whoever calls it.
    if (key === 'CreateFunctionStmt') return false;
    if (key === 'DoStmt') return beyondInBlock.test(JSON.stringify(inner).replaceAll(/\\[nrt]/g, ' '));
    if (key === 'CopyStmt' && isOnServer(inner as Node)) return true;
    if (/^(objtype|objectType|renameType)$/.test(key) && shared.test(String(inner))) return true;
    if (key === 'funcname' && calls.test(nameOf(inner))) return true;
    return reachesBeyond(inner);
  });
}

function isOnServer({ is_program: isProgram, filename }: Node): boolean {
  return isProgram === true || typeof filename === 'string';
}

function nameOf(parts: unknown): string {
  const words = Array.isArray(parts) ? parts : [];
  return words.map((part) => (part as { String?: { sval?: string } }).String?.sval ?? '').join('.');
}

const mostFiles = 5_000;
const mostBytes = 10_000_000;

/** The `*.sql` below folders that tools keep their migrations in. */
function migrationFiles(cwd: string): string[] {
  const found: string[] = [];
  const walk = (folder: string, depth: number, isInside: boolean) => {
    if (depth > 6 || found.length > mostFiles || !existsSync(folder)) return;
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const place = path.join(folder, entry.name);
      if (entry.isDirectory() && !/^(node_modules|\.git|vendor|dist|build)$/.test(entry.name))
        walk(place, depth + 1, isInside || /^(migrations?|migrate|drizzle|sql)$/i.test(entry.name));
      else if (isInside && entry.name.endsWith('.sql') && statSync(place).size < mostBytes) found.push(place);
    }
  };
  walk(cwd, 0, false);
  return found;
}

const toolFiles = [
  ...[
    'schema.prisma',
    'prisma/schema.prisma',
    'prisma.config.ts',
    'prisma.config.js',
    'knexfile.js',
    'knexfile.ts',
  ],
  ...[
    'drizzle.config.ts',
    'drizzle.config.js',
    'ormconfig.json',
    'alembic.ini',
    'database.yml',
    'config/database.yml',
  ],
];
const address = /postgres(?:ql)?(?:\+\w+)?:\/\/[^\s"'`<>${}]+/g;
const assignment = /^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=/;

/** Addresses of databases in `.env*` of the command's folder and above, and in the files of the usual tools. */
function findOtherAddresses(plan: Plan, cwd: string, urlEnv: readonly string[]): string[] {
  const own = new Set(Object.values(placesOf(plan)).map(({ url }) => url));
  const findings: string[] = [];
  for (const file of filesWithAddresses(cwd)) {
    for (const line of readFileSync(file, 'utf8').split('\n')) {
      if (/^\s*(#|\/\/)/.test(line)) continue;
      const [found] = line.match(address) ?? [];
      const [, variable] = assignment.exec(line) ?? [];
      if (!found || own.has(found) || (variable !== undefined && urlEnv.includes(variable))) continue;
      findings.push(
        variable === undefined
          ? `${file} holds the address of ${described(found)}, which the schema step may use instead of the one it is given. Let its tool read a variable, and name that in schema.urlEnv.`
          : `${file} sets ${variable} to ${described(found)}, and schema.urlEnv doesn't name it, so that the schema step may run there. Add ${variable} to schema.urlEnv, or remove it from the file.`,
      );
    }
  }
  return findings;
}

function filesWithAddresses(cwd: string): string[] {
  const found = toolFiles.map((file) => path.join(cwd, file));
  for (let folder = cwd, up = 0; up < 10; up++) {
    const names = existsSync(folder) ? readdirSync(folder) : [];
    found.push(...names.filter((name) => /^\.env(\..+)?$/.test(name)).map((name) => path.join(folder, name)));
    const parent = path.dirname(folder);
    if (parent === folder) break;
    folder = parent;
  }
  return found.filter((file) => isReadable(file));
}

function isReadable(file: string): boolean {
  try {
    return statSync(file).isFile() && readFileSync(file).length < mostBytes;
  } catch {
    return false;
  }
}

// Without a password.
function described(url: string): string {
  try {
    return placeOf(url);
  } catch (error) {
    return `another database (${sentence(error).slice(0, 80)})`;
  }
}
