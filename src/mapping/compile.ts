/** Compiles a mapping against two schemas: per target table the SELECTs that fill it, and everything left unexplained. */
import { startCompilation, topLevel } from './compilation';
import type { MappingInput, CompiledMapping } from './compiled';
import { compileDrops, explainSources } from './drops';
import { checkEnumChanges } from './enums';
import type { Mapping } from './file';
import { findSame } from './names';
import { loadParser, parseQuery } from './sql-text';
import { compileTable } from './tables';

/**
 * Compiles a mapping. Never throws for what the mapping says: everything wrong is in `findings`, all at once.
 * With findings the rest is only good for finding more (`scanMapping`), never for a run.
 */
export async function compileMapping(input: MappingInput): Promise<CompiledMapping> {
  await loadParser();
  const compilation = startCompilation(input);
  const { drops, filledBySchema } = compileDrops(compilation);
  const tables = topLevel(input.target.tables)
    .filter((table) => !findSame(filledBySchema, table))
    .map((table) => compileTable(compilation, table))
    .filter((table) => table !== null);
  explainSources(compilation);
  checkEnumChanges(compilation);
  return {
    tables,
    drops,
    filledBySchema,
    assertions: compileAssertions(input.mapping, compilation.say),
    findings: [...compilation.findings],
  };
}

function compileAssertions(mapping: Mapping, say: (sentence: string) => void): CompiledMapping['assertions'] {
  const names = new Set<string>();
  return mapping.assertions.flatMap(({ name, sql }) => {
    if (names.has(name)) say(`The name of the assertion "${name}" stands twice. Give each its own.`);
    names.add(name);
    const parsed = parseQuery(sql);
    if (!('problem' in parsed)) return [{ name, sql: parsed.sql }];
    say(
      `The assertion "${name}" is not one query that only reads: ${parsed.problem}. Write one select that returns no row when all is well.`,
    );
    return [];
  });
}
