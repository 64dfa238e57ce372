/** Part of `npm run check`: Markdown stays readable (short lines, short cells, short pages), and its links lead somewhere. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const maxLine = 160;
const maxCell = 90;
const maxRow = 220;
const maxLinesOf = { 'README.md': 250, 'ARCHITECTURE.md': 330 };

const root = path.resolve(process.argv[2] ?? path.dirname(path.dirname(fileURLToPath(import.meta.url))));
const problems = markdownFiles().flatMap(problemsOf);
for (const problem of problems) console.error(problem);
process.exit(problems.length === 0 ? 0 : 1);

/** Markdown that git tracks, and what is new and not ignored. */
function markdownFiles() {
  const args = ['ls-files', '--cached', '--others', '--exclude-standard', '--', '*.md'];
  const { status, stdout, error } = spawnSync('git', args, { cwd: root, encoding: 'utf8' });
  if (status !== 0) {
    console.error(
      `The Markdown files are taken from git, which failed${error ? `: ${error.message}` : ''}. Run this in a clone.`,
    );
    process.exit(1);
  }
  return [...new Set(stdout.split('\n'))].filter((file) => file !== '' && existsSync(path.join(root, file)));
}

function problemsOf(file) {
  const lines = readFileSync(path.join(root, file), 'utf8').replace(/\n$/, '').split('\n');
  const found = outsideFences(lines).flatMap(({ line, number }) =>
    [...(isRow(line) ? rowProblems(line) : lineProblems(line)), ...linkProblems(file, line)].map(
      (problem) => `${file}:${number}: ${problem}`,
    ),
  );
  const maxLines = maxLinesOf[file] ?? Infinity;
  if (lines.length > maxLines)
    found.push(
      `${file} has ${lines.length} lines. Move some of it to docs/: at most ${maxLines} belong here.`,
    );
  return found;
}

function lineProblems(line) {
  return width(line) <= maxLine
    ? []
    : [`The line has ${width(line)} characters. Break it before ${maxLine}.`];
}

function rowProblems(line) {
  const cells = line.split(/(?<!\\)\|/).slice(1, -1);
  if (cells.every((cell) => /^ *:?-+:? *$/.test(cell))) return [];
  const widths = cells.map((cell) => width(cell.trim()));
  const long = widths.filter((cell) => cell > maxCell);
  // As it would be without padding: `| a | b |`.
  const row = widths.reduce((sum, cell) => sum + cell + 3, 1);
  return [
    ...long.map((cell) => `A cell has ${cell} characters. Use a list where more than ${maxCell} are needed.`),
    ...(row > maxRow
      ? [`The row has ${row} characters. Use a list where more than ${maxRow} are needed.`]
      : []),
  ];
}

function linkProblems(file, line) {
  const text = line.replace(/`[^`]*`/g, '');
  const targets = [...text.matchAll(/\]\(\s*<?([^\s)>]+)[^)]*\)/g), ...text.matchAll(/^\[[^\]]+\]: *(\S+)/g)];
  return targets.flatMap(([, target]) => {
    if (/^[a-z][a-z+.-]*:/i.test(target)) return [];
    const [where, anchor] = target.split('#');
    const full = where ? path.resolve(root, path.dirname(file), decodeURI(where)) : path.join(root, file);
    if (!existsSync(full)) return [`The link ${target} leads to no file.`];
    if (anchor === undefined || statSync(full).isDirectory() || !full.endsWith('.md')) return [];
    return anchorsOf(full).has(anchor) ? [] : [`The link ${target} leads to no heading.`];
  });
}

/** The names that GitHub gives to a page's headings. */
function anchorsOf(file) {
  const anchors = new Set();
  for (const { line } of outsideFences(readFileSync(file, 'utf8').split('\n'))) {
    const [, heading] = /^#{1,6} +(.*?) *#*$/.exec(line) ?? [];
    if (heading === undefined) continue;
    const name = heading
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replace(/[^\p{L}\p{M}\p{N}\p{Pc}\- ]/gu, '')
      .replace(/ /g, '-');
    let unique = name;
    for (let n = 1; anchors.has(unique); n++) unique = `${name}-${n}`;
    anchors.add(unique);
  }
  return anchors;
}

function outsideFences(lines) {
  let fence = null;
  return lines.flatMap((line, index) => {
    const [, mark] = /^\s*(?:[-*] +|\d+\. +|> ?)*(`{3,}|~{3,})/.exec(line) ?? [];
    if (fence === null && mark) {
      fence = mark;
      return [];
    }
    if (fence === null) return [{ line, number: index + 1 }];
    if (mark?.startsWith(fence) && line.trim() === mark) fence = null;
    return [];
  });
}

function isRow(line) {
  return /^\s*\|.*\|\s*$/.test(line);
}

/** Characters to read: where a link leads doesn't count, as it can't be broken. */
function width(text) {
  return [...text.replace(/\]\([^)]*\)/g, ']').replace(/https?:\/\/\S+/g, '')].length;
}
