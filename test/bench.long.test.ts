/** The bench, small: it measures every line against the other tools and writes its results. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const root = path.resolve(__dirname, '..');

function bench(...args: string[]) {
  return spawnSync(process.execPath, [path.join(root, 'tools', 'run.mjs'), 'bench', ...args], {
    encoding: 'utf8',
  });
}

test('measures every line but those of whole runs, and writes table, JSON and chart', () => {
  const out = mkdtempSync(path.join(os.tmpdir(), 'kirikae-bench-test-'));
  try {
    const { status, stdout, stderr } = bench('--users', '20', '--rounds', '1', '--no-runs', '--out', out);
    expect(`${status} ${status === 0 ? '' : stderr}`).toBe('0 ');
    const { rows, results } = JSON.parse(readFileSync(path.join(out, 'results.json'), 'utf8')) as {
      rows: number;
      results: { what: string; against: string; ours: number; theirs: number | null; ratio: number | null }[];
    };
    expect(rows).toBeGreaterThan(1_000);
    for (const { what, against, ours, theirs, ratio } of results) {
      expect(stdout).toContain(what);
      expect(ours).toBeGreaterThan(0);
      if (['pgcopydb', ''].includes(against) && theirs === null) continue;
      expect(ratio).toBeCloseTo(ours / Number(theirs), 0);
    }
    expect(readFileSync(path.join(out, 'results.svg'), 'utf8')).toMatch(
      /^<svg .*restore, verified.*<\/svg>\s*$/s,
    );
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
});

test('refuses a number of users that is none, and says what it expects', () => {
  const { status, stderr } = bench('--users', 'many');
  expect(status).toBe(1);
  expect(stderr).toMatch(/'many' is invalid.*Expected a whole number from 1\./);
  expect(stderr).not.toMatch(/\n\s+at /);
});
