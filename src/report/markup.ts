/** The pieces of the report's page: sections, tables, and texts that can't break out of their place. */
import { describeCount, describeTime } from './quantities';

/** A table with a heading; a title that begins with `#` heads a column of numbers. Nothing at all without rows. */
export function grid(title: string, heads: string[], rows: string[][]): string {
  if (rows.length === 0) return '';
  const kind = heads.map((head) => (head.startsWith('#') ? ' class="number"' : ''));
  const head = heads.map((text, index) => `<th${kind[index]}>${escape(text.replace('#', ''))}</th>`).join('');
  const body = rows.map(
    (row) => `<tr>${row.map((cell, index) => `<td${kind[index]}>${cell}</td>`).join('')}</tr>`,
  );
  return section(
    title,
    `<div class="scroll"><table><thead><tr>${head}</tr></thead><tbody>\n${body.join('\n')}\n</tbody></table></div>`,
  );
}

/** A part of the page with its heading; `content` is HTML. */
export function section(title: string, content: string): string {
  return `<section><h2>${escape(title)}</h2>\n${content}\n</section>`;
}

export function code(text: string): string {
  return `<code>${escape(text)}</code>`;
}

export function time(iso: string): string {
  return `<time datetime="${escape(iso)}">${escape(describeTime(iso))}</time>`;
}

export function number(count: number | null): string {
  return count === null ? '–' : describeCount(count);
}

const entities: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** A text of the run as HTML. */
export function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => entities[character] ?? character);
}
