/** Changes of enum values: proved to start from values that exist and to end in values that exist. */
import type { EnumType } from '../postgres/catalog';
import { readable } from '../postgres/sql';
import type { Compilation } from './compilation';
import { findByKey, findSame } from './names';

/** Adds findings about the mapping's `enums` and about values without a counterpart; call it when all columns are compiled. */
export function checkEnumChanges(compilation: Compilation): void {
  const { input, enumFlows, enumChanges, say } = compilation;
  for (const [key, changes] of Object.entries(input.mapping.enums)) {
    const [type, ...others] = findByKey(input.source.enums, key, input.schemas);
    if (!type || others.length > 0) {
      const found = type ? 'more than one enum of that name' : 'no such enum in the managed schemas';
      say(`enums.${key}: production has ${found}. Correct the name.`);
      continue;
    }
    checkChanges(compilation, key, type, changes);
  }
  const seen = new Set<string>();
  for (const { from, to, column } of enumFlows) {
    const flow = JSON.stringify([from.schema, from.name, to.schema, to.name]);
    if (seen.has(flow)) continue;
    seen.add(flow);
    const labels = findSame(input.source.enums, from)?.labels ?? [];
    const known = new Set(findSame(input.target.enums, to)?.labels ?? []);
    const changes = enumChanges(from);
    for (const label of labels) {
      if (Object.hasOwn(changes, label) || known.has(label)) continue;
      say(
        `The value ${label} of the enum ${readable(from)} has no counterpart in ${readable(to)} of the new schema (column ${column}). Say what becomes of it: enums: { ${key(compilation, from)}: { ${label}: … } }.`,
      );
    }
  }
}

function checkChanges(
  { input, enumFlows, say }: Compilation,
  key: string,
  type: EnumType,
  changes: Readonly<Record<string, string>>,
): void {
  const isThis = (name: { schema: string; name: string }) =>
    name.schema === type.schema && name.name === type.name;
  const targets = enumFlows.filter((flow) => isThis(flow.from)).map((flow) => flow.to);
  const sameNamed = findSame(input.target.enums, type);
  if (sameNamed) targets.push({ ...sameNamed, array: false });
  for (const [from, to] of Object.entries(changes)) {
    if (!type.labels.includes(from)) {
      say(
        `enums.${key}: production's ${readable(type)} has no value ${from}. Its values: ${type.labels.join(', ')}. Correct it or remove it.`,
      );
    }
    for (const target of targets) {
      const labels = findSame(input.target.enums, target)?.labels ?? [];
      if (labels.includes(to)) continue;
      say(
        `enums.${key}: ${from} becomes ${to}, which ${readable(target)} of the new schema doesn't have. Its values: ${labels.join(', ')}. Name one of them.`,
      );
    }
  }
}

function key({ input }: Compilation, type: { schema: string; name: string }): string {
  return type.schema === input.schemas[0] ? type.name : `${type.schema}.${type.name}`;
}
