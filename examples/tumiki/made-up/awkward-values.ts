/** Values that have broken copies before: text, arrays, JSON, bytes and times at the edges of their types. */
import { createHash } from 'node:crypto';

/** Texts that quoting, COPY's escapes and encodings get wrong. */
export const awkwardTexts = [
  `O'Brien says "hi" to $1, %s and ; --`,
  'tab\there, bell \u0007, delete \u007f',
  'line\nbreak\r\nand return\r',
  'back\\slash, \\n, \\x41, trailing \\',
  '\\N',
  '\\.',
  'NULL',
  '{a,b}',
  '👩‍👩‍👧 切り替え 🎉',
  'e\u0301 is not é; \u202eright to left\u202c; zero\u200bwidth; \ufeffmark; \u2028separator',
  ' ',
  '\u3000\t',
  "'s Workspace",
  `long ${'x'.repeat(9000)}`,
];

export const awkwardArrays: ((string | null)[] | null)[] = [
  null,
  [],
  [null],
  [null, 'NULL', '', ' ', null],
  ['{', '}', '{}', '"', '""', "'", ',', 'a,b', '\\', '\\\\', '\\N'],
  ['--flag={"json": ["a", null]}', 'tab\t', 'new\nline', '切り替え 🎉'],
];

/** JSON that a parser in between would round, reorder, fold or cut. */
export const awkwardJson = [
  'null',
  '{}',
  '[]',
  '"a string alone \\u2028 \\\\N \\" \\t"',
  '123456789012345678901234567890.123456789012345678901234567890',
  '{"huge": 1e400, "tiny": 1e-400, "scale": [1, 1.0, 1.00, -0.0, 0e10], "int": 9007199254740993}',
  '{"": "", " ": null, "emoji 👩‍👩‍👧": "切り替え", "b": 1, "aa": 2, "surrogates": "\\ud83c\\udf89"}',
  `${'{"deeper":['.repeat(100)}true${']}'.repeat(100)}`,
  '[{"type": "text", "text": "line\\nbreak\\ttab \\\\ back \\u0001"}, {"type": "image", "data": null}]',
];

/** Created and updated: infinite, before Christ, and the ends of what fits. */
export const awkwardTimes: [string, string][] = [
  ['-infinity', 'infinity'],
  ['0044-03-15 12:00:00.001 BC', '1970-01-01 00:00:00'],
  ['4713-01-01 00:00:00 BC', '294276-12-31 23:59:59.999'],
  ['1582-10-10 00:00:00', '2000-02-29 23:59:59.999'],
  ['infinity', '-infinity'],
];

export const awkwardFloats = [
  'NaN',
  'Infinity',
  '-Infinity',
  '-0',
  '5e-324',
  '1.7976931348623157e308',
  '0.30000000000000004',
];

export const allBytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));

/** Bytes that don't compress, always the same ones for a label. */
export function noise(label: string, bytes: number): Buffer {
  const blocks: Buffer[] = [];
  for (let n = 0; n * 64 < bytes; n++) blocks.push(createHash('sha512').update(`${label}:${n}`).digest());
  return Buffer.concat(blocks).subarray(0, bytes);
}

/** A row to insert: column name to value. */
export type Row = Record<string, unknown>;

/** The number-th awkward user, in every form an identity provider gives. */
export const userId = (n: number) =>
  [
    `auth0|awkward${n}`,
    `google-oauth2|99999999999999999${n}`,
    `cawkwarduser${n}`,
    `oidc|o'bri\\en "${n}" 切`,
  ][n % 4] ?? '';
/** Ids of other awkward rows. */
export const id = (kind: string, n: number | string) => `cawkward${kind}${n}`;
/** Creation and update of the n-th row; further down, the n-th value of each kind. */
export const at = (n: number) => {
  const [createdAt, updatedAt] = awkwardTimes[n % awkwardTimes.length] ?? [];
  return { createdAt, updatedAt };
};
export const text = (n: number) => awkwardTexts[n % awkwardTexts.length];
export const list = (n: number) => awkwardArrays[n % awkwardArrays.length];
export const json = (n: number) => awkwardJson[n % awkwardJson.length];
export const pick = (choices: string[], n: number) => choices[n % choices.length];
