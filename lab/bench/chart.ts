/** The bench's result as an SVG of bars: ours against another's time, as a ratio. Pure. */
import type { Result } from './judge';

const width = 760;
const left = 330;
const lineHeight = 34;

/** Bars of every result that is a ratio of times; the line is 1, the other tool's time. */
export function drawChart(results: readonly Result[]): string {
  const bars = results.filter((result) => result.ratio !== null && result.goal.startsWith('≤'));
  const scale = (width - left - 70) / Math.max(1.2, ...bars.map((bar) => bar.ratio ?? 0));
  const height = bars.length * lineHeight + 30;
  const line = left + scale;
  const drawn = bars.map(({ what, against, ratio }, index) => {
    const y = 24 + index * lineHeight;
    const length = (ratio ?? 0) * scale;
    return `<text x="${left - 8}" y="${y + 10}" text-anchor="end">${what}</text>
<text x="${left - 8}" y="${y + 23}" text-anchor="end" class="small">against ${against}</text>
<rect x="${left}" y="${y}" width="${length.toFixed(1)}" height="20" rx="2"/>
<text x="${(left + length + 6).toFixed(1)}" y="${y + 15}">${(ratio ?? 0).toFixed(2)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="13">
<style>rect{fill:#2f6f8f}text{fill:#222}.small{font-size:10px;fill:#666}path{stroke:#b33;stroke-dasharray:4 3}</style>
<rect width="${width}" height="${height}" style="fill:#fff"/>
<path d="M${line} 16V${height - 6}"/><text x="${line}" y="12" text-anchor="middle" class="small">the other's time</text>
${drawn.join('\n')}
</svg>
`;
}
