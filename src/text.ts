/** Text from outside: its limits, cleaned of what isn't seen, cut to a size; and lists that stay small. Pure: workflows import it. */

/** The most that is taken or kept, in characters. */
export const LIMITS = {
  name: 200,
  note: 500,
  fingerprint: 100,
  check: 200,
  checklistItem: 500,
  /** Items of a checklist, not characters. */
  checklist: 200,
  /** A sentence or a command of ours, which may quote others: an error, a note, what is waited for. */
  sentence: 4_000,
  /** A line that stands above all else; what it quotes stands below in full. */
  header: 200,
} as const;

const lineBreaks = /[\p{Zl}\p{Zp}]/gu;
const controls = /\p{Cc}/gu;
const controlsButNewline = /(?!\n)\p{Cc}/gu;
// Zero-width, and what turns the direction of writing.
const unseen = /[\p{Cf}\p{Default_Ignorable_Code_Point}]/gu;
const halves = /\p{Cs}/gu;
const anyOfThem = /[\p{Zl}\p{Zp}\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}\p{Cs}]/u;

/** True when there is nothing in a text that isn't seen: no control character, nothing of no width, no half of a character. */
export function isPlain(text: string): boolean {
  return !anyOfThem.test(text);
}

/** One line of at most `max` characters: control characters become spaces, what has no width goes. */
export function oneLine(text: string, max: number): string {
  return cut(clean(shortened(text, max), controls), max);
}

/** The same with its line breaks: for sentences of ours that have a command under them. */
export function lines(text: string, max: number): string {
  return cut(clean(shortened(text, max), controlsButNewline), max);
}

function clean(text: string, without: RegExp): string {
  return text.replace(lineBreaks, ' ').replace(without, ' ').replace(unseen, '').replace(halves, '\uFFFD');
}

// Megabytes aren't looked through for the few characters that are kept.
function shortened(text: string, max: number): string {
  return text.slice(0, 4 * max);
}

function cut(text: string, max: number): string {
  return text.length <= max ? text : `${text.slice(0, max - 1).replace(/[\uD800-\uDBFF]$/, '')}…`;
}

/** A list of which the middle was left out. */
export interface Folded<T> {
  first: T[];
  leftOut: number;
  last: T[];
}

/** Leaves out the middle of a list that is longer than `count`, or as JSON larger than `bytes`. */
export function fold<T>(items: readonly T[], { count, bytes }: { count: number; bytes: number }): Folded<T> {
  if (items.length <= count && sizeOf(items) <= bytes) return { first: [...items], leftOut: 0, last: [] };
  const first = fitting(items, { count: Math.ceil(count / 2), bytes: bytes / 2 });
  const rest = items.slice(first.length).reverse();
  const last = fitting(rest, { count: Math.floor(count / 2), bytes: bytes / 2 }).reverse();
  return { first, leftOut: rest.length - last.length, last };
}

/** The same as one list, with one item in place of the middle. */
export function inShort<T>(
  items: readonly T[],
  size: { count: number; bytes: number },
  middle: (leftOut: string, after: T | undefined) => T,
): T[] {
  const { first, leftOut, last } = fold(items, size);
  return leftOut === 0 ? first : [...first, middle(`${leftOut} more, left out here`, last[0]), ...last];
}

interface LeftBehind {
  what: string;
  rows: number;
  reason: string;
}

/** What is left behind by name, so many as `size` takes. */
export function droppedInShort(
  dropped: readonly LeftBehind[],
  size: { count: number; bytes: number },
): LeftBehind[] {
  return inShort(dropped, size, (what) => ({ what, rows: 0, reason: 'the list is too long' }));
}

function fitting<T>(items: readonly T[], { count, bytes }: { count: number; bytes: number }): T[] {
  let used = 0;
  const end = items.findIndex((item, index) => index === count || (used += sizeOf(item) + 1) > bytes);
  return items.slice(0, end < 0 ? items.length : end);
}

function sizeOf(value: unknown): number {
  return new TextEncoder().encode(JSON.stringify(value)).length;
}
