/** The keys in docs/settings.md: a section for each key of a plan, made from the JSON schema of kirikae.yaml. */

/** The part of JSON schema that the settings use. */
export interface KeySchema {
  title?: string;
  description?: string;
  default?: string | number | boolean | string[] | Record<string, string>;
  type?: string;
  format?: string;
  const?: string;
  enum?: string[];
  items?: KeySchema;
  properties?: Record<string, KeySchema>;
  additionalProperties?: KeySchema | false;
  required?: string[];
  oneOf?: KeySchema[];
}

/** What stands above this line is written by hand. */
const marker = '<!-- The keys below are written by `npm run generate` from the schema in src/settings/. -->';
const lineWidth = 120;

/**
 * The page with its keys made anew.
 * @param page the page as it is
 * @throws Error when the page has no line that says where the keys begin
 */
export function settingsPage(page: string, settings: KeySchema): string {
  const at = page.indexOf(marker);
  if (at < 0) throw new Error(`docs/settings.md has no line ${marker} Put it before the keys.`);
  const plan = settings.properties?.plans?.additionalProperties || {};
  const sections = Object.entries(plan.properties ?? {}).map(([key, schema]) => section(key, schema, plan));
  return `${page.slice(0, at)}${marker}\n\n${sections.join('\n\n')}\n`;
}

function section(key: string, schema: KeySchema, plan: KeySchema): string {
  const head = [`## \`${key}\``, sentenceOf(facts(key, schema, plan)), ...paragraphs(schema.description)];
  const twin = Object.entries(plan.properties ?? {}).find(
    ([, other]) => JSON.stringify(other.items) === JSON.stringify(schema.items),
  );
  if (schema.items && twin && twin[0] !== key)
    return [...head, `Its entries are those of \`${twin[0]}\`.`].join('\n\n');
  return [...head, ...keysOf(schema.items ?? schema, key)].join('\n\n');
}

function keysOf(schema: KeySchema, path: string): string[] {
  if (schema.oneOf) return kinds(schema.oneOf);
  const children = Object.entries(schema.properties ?? {});
  if (children.length === 0 || !children.every(([, child]) => child.properties)) return list(schema);
  return children.flatMap(([key, child]) => [
    `### \`${path}.${key}\``,
    sentenceOf(facts(key, child, schema)),
    ...paragraphs(child.description),
    ...list(child),
  ]);
}

/** The keys of every kind first, then those of each. */
function kinds(variants: KeySchema[]): string[] {
  const [first = {}] = variants;
  const isShared = ([key, value]: [string, KeySchema]) =>
    key !== 'kind' &&
    variants.every((variant) => JSON.stringify(variant.properties?.[key]) === JSON.stringify(value));
  const shared = Object.entries(first.properties ?? {}).filter(isShared);
  const common = list({ ...first, properties: Object.fromEntries(shared) });
  return [
    ...(common.length > 0 ? ['Of every kind:', ...common] : []),
    ...variants.flatMap((variant) => {
      const own = Object.entries(variant.properties ?? {}).filter(
        ([key]) => key !== 'kind' && !shared.some(([name]) => name === key),
      );
      const { kind = {} } = variant.properties ?? {};
      return [
        `### \`kind: ${kind.const}\``,
        ...paragraphs(kind.description),
        ...list({ ...variant, properties: Object.fromEntries(own) }),
      ];
    }),
  ];
}

/** The keys as one list; keys below a key are entries of their own, with the whole path. */
function list(schema: KeySchema): string[] {
  const items = entries(schema, '');
  const text = items.map((item, index) =>
    index === items.length - 1 ? item : `${item}\n${item.includes('\n\n') ? '\n' : ''}`,
  );
  return items.length === 0 ? [] : [text.join('')];
}

function entries(schema: KeySchema, path: string): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, value]) => {
    const name = `${path}${key}`;
    const text = `- \`${name}\`: ${facts(key, value, schema)}. ${value.description ?? ''}`;
    return [paragraphs(text, '  ').join('\n\n').trimStart(), ...entries(value, `${name}.`)];
  });
}

/** What a value has to be, and whether it may be left out. */
function facts(key: string, schema: KeySchema, parent: KeySchema): string {
  const presence = parent.required?.includes(key) ? 'must be there' : defaultOf(schema);
  return [expected(schema), presence].filter((fact) => fact !== null).join(', ');
}

function expected(schema: KeySchema): string | null {
  if (schema.title) return schema.title;
  if (schema.enum) return schema.enum.map((value) => `\`${value}\``).join(' or ');
  if (schema.const) return `\`${schema.const}\``;
  switch (schema.type) {
    case 'array':
      return 'a list';
    case 'boolean':
      return '`true` or `false`';
    case 'integer':
      return 'a whole number';
    case 'string':
      return schema.format === 'uri' ? 'a URL' : 'a text';
    default:
      return null;
  }
}

function defaultOf({ default: value }: KeySchema): string {
  if (value === undefined) return 'may be left out';
  if (Array.isArray(value)) return `default \`[${value.join(', ')}]\``;
  if (typeof value !== 'object') return `default \`${String(value)}\``;
  const pairs = Object.entries(value).map(([key, item]) => `${key}: ${item}`);
  return pairs.length === 0 ? 'may be left out' : `default \`{ ${pairs.join(', ')} }\``;
}

function sentenceOf(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

function paragraphs(text: string | undefined, indent = ''): string[] {
  return (text ?? '')
    .split('\n\n')
    .flatMap((paragraph) => (paragraph ? [wrap(linked(paragraph), indent)] : []));
}

/** Files that a description names become links. */
function linked(text: string): string {
  return text
    .replace(/\bdocs\/([\w-]+\.md)/g, '[docs/$1]($1)')
    .replace(/\bdeploy\/[\w.-]*\w/g, (file) => `[${file}](../${file})`);
}

/** Breaks a paragraph into lines; what stands in back quotes stays on one line. The first line keeps its own list mark. */
function wrap(text: string, indent: string): string {
  const lines: string[] = [];
  let line = '';
  for (const word of text.match(/(?:`[^`]*`|\S)+/g) ?? []) {
    if (line !== '' && indent.length + line.length + 1 + word.length > lineWidth) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  const [first = '', ...rest] = [...lines, line];
  return [text.startsWith('- ') ? first : indent + first, ...rest.map((next) => indent + next)].join('\n');
}
