// Charts as inline SVG: no script, no outside file, colours from the page's style so that dark mode works.
import { share, ticks, usd } from './format.ts';
import { html, type Markup } from './markup.ts';

export interface Point {
  x: number;
  y: number;
}

export interface Series {
  name: string;
  /** CSS class that gives the colour. */
  tone: 'a' | 'b';
  points: Point[];
  dots?: boolean;
}

const WIDTH = 640;

/** Lines over steps, for losses. Long series are thinned to what a screen can show. */
export function lineChart(series: Series[], labels: { x: string; y: string }): Markup {
  const height = 240;
  const all = series.flatMap((line) => line.points);
  const [left, right, top, bottom] = [52, WIDTH - 12, 14, height - 38];
  const maxX = Math.max(...all.map((point) => point.x), 1);
  const minX = Math.min(...all.map((point) => point.x), maxX);
  const low = Math.max(0, Math.min(...all.map((point) => point.y)) * 0.9);
  const high = Math.max(...all.map((point) => point.y), low + 1e-9);
  const x = (value: number) => left + ((value - minX) / (maxX - minX || 1)) * (right - left);
  const y = (value: number) => bottom - ((value - low) / (high - low)) * (bottom - top);
  const path = (points: Point[]) =>
    points.map((point, i) => `${i === 0 ? 'M' : 'L'}${x(point.x).toFixed(1)} ${y(point.y).toFixed(1)}`).join('');
  return html`<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${labels.y} over ${labels.x}">
${ticks(low, high, 4).map((t) => html`<line class="grid" x1="${left}" x2="${right}" y1="${y(t)}" y2="${y(t)}"/><text class="tick" x="${left - 8}" y="${y(t) + 4}" text-anchor="end">${t}</text>`)}
${ticks(minX, maxX, 6).map((t) => html`<text class="tick" x="${x(t)}" y="${bottom + 18}" text-anchor="middle">${t}</text>`)}
<text class="tick" x="${(left + right) / 2}" y="${height - 4}" text-anchor="middle">${labels.x}</text>
${series.map((line) => html`<path class="line ${line.tone}" d="${path(thin(line.points, 600))}"/>${line.dots ? line.points.map((point) => html`<circle class="dot ${line.tone}" r="3.5" cx="${x(point.x).toFixed(1)}" cy="${y(point.y).toFixed(1)}"><title>${line.name} ${point.y.toFixed(4)} at ${point.x}</title></circle>`) : ''}`)}
</svg><p class="legend">${series.map((line) => html`<span><i class="key ${line.tone}"></i>${line.name}</span>`)}</p>`;
}

function thin(points: Point[], most: number): Point[] {
  if (points.length <= most) return points;
  const every = Math.ceil(points.length / most);
  // the mean of neighbours keeps the course of a noisy curve
  return Array.from({ length: Math.ceil(points.length / every) }, (_, i) => {
    const group = points.slice(i * every, (i + 1) * every);
    const mean = (pick: (point: Point) => number) => group.reduce((sum, point) => sum + pick(point), 0) / group.length;
    return { x: mean((point) => point.x), y: mean((point) => point.y) };
  });
}

export interface Estimate {
  name: string;
  tone: 'a' | 'b';
  value: number;
  lower: number;
  upper: number;
}

/** Points with intervals on a scale of shares, and a line for the limit where there is one. */
export function intervalChart(rows: Estimate[], limit?: { value: number; name: string }): Markup {
  const step = 44;
  const height = rows.length * step + 46;
  const [left, right] = [170, WIDTH - 64];
  const lowest = Math.min(...rows.map((row) => row.lower), limit?.value ?? 1);
  const low = Math.max(0, Math.floor((lowest - 0.02) * 20) / 20);
  const high = Math.max(1, ...rows.map((row) => row.upper));
  const x = (value: number) => left + ((value - low) / (high - low)) * (right - left);
  const bottom = height - 30;
  return html`<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="quality with intervals">
${ticks(low, high, 5).map((t) => html`<line class="grid" x1="${x(t)}" x2="${x(t)}" y1="8" y2="${bottom}"/><text class="tick" x="${x(t)}" y="${bottom + 18}" text-anchor="middle">${share(t, 0)}</text>`)}
${limit && html`<line class="limit" x1="${x(limit.value)}" x2="${x(limit.value)}" y1="4" y2="${bottom}"/><text class="limit-text" x="${x(limit.value) - 6}" y="14" text-anchor="end">${limit.name}</text>`}
${rows.map((row, i) => {
  const y = 32 + i * step;
  return html`<text class="label" x="${left - 14}" y="${y + 5}" text-anchor="end">${row.name}</text>
<line class="line ${row.tone}" x1="${x(row.lower)}" x2="${x(row.upper)}" y1="${y}" y2="${y}"/>
${[row.lower, row.upper].map((end) => html`<line class="line ${row.tone}" x1="${x(end)}" x2="${x(end)}" y1="${y - 6}" y2="${y + 6}"/>`)}
<circle class="dot ${row.tone}" cx="${x(row.value)}" cy="${y}" r="6"/><text class="value" x="${right + 10}" y="${y + 5}">${share(row.value)}</text>`;
})}
</svg>`;
}

/** Bars of money; the shorter one may be a hair, which is the point. */
export function costChart(rows: { name: string; tone: 'a' | 'b'; value: number }[]): Markup {
  const step = 44;
  const [left, right] = [170, WIDTH - 110];
  const most = Math.max(...rows.map((row) => row.value), Number.MIN_VALUE);
  return html`<svg viewBox="0 0 ${WIDTH} ${rows.length * step + 8}" role="img" aria-label="cost of 1,000 requests">
${rows.map((row, i) => {
  const width = Math.max(2, (row.value / most) * (right - left));
  return html`<text class="label" x="${left - 14}" y="${i * step + 31}" text-anchor="end">${row.name}</text><rect class="bar ${row.tone}" x="${left}" y="${i * step + 14}" width="${width}" height="24" rx="4"/><text class="value" x="${left + width + 10}" y="${i * step + 31}">${usd(row.value)}</text>`;
})}
</svg>`;
}

/** Bars of shares, one a row. */
export function shareBars(rows: { name: string; value: number; note?: string }[]): Markup {
  return html`<table class="bars">${rows.map(
    (row) =>
      html`<tr><th scope="row">${row.name}</th><td><div class="track"><div class="fill" style="width:${(Math.max(0, Math.min(1, row.value)) * 100).toFixed(1)}%"></div></div></td><td class="num">${share(row.value)}</td><td class="dim">${row.note}</td></tr>`,
  )}</table>`;
}

/** Wanted against given label; rows and columns beyond the most frequent ones are left out, and said so. */
export function confusionTable(cells: { expected: string; predicted: string; count: number }[], most = 20): Markup {
  const totals = new Map<string, number>();
  for (const { expected, count } of cells) totals.set(expected, (totals.get(expected) ?? 0) + count);
  const rows = [...totals].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).map(([label]) => label);
  const shown = rows.slice(0, most);
  const others = [...new Set(cells.map((cell) => cell.predicted))].filter((label) => !totals.has(label));
  const columns = [...shown, ...others.slice(0, 3)];
  const found = new Map(cells.map((cell) => [JSON.stringify([cell.expected, cell.predicted]), cell.count]));
  return html`<div class="scroll"><table class="matrix"><thead><tr><th class="corner">wanted ↓ given →</th>${columns.map((label) => html`<th scope="col"><span>${label}</span></th>`)}</tr></thead><tbody>
${shown.map(
  (row) =>
    html`<tr><th scope="row">${row}</th>${columns.map((column) => {
      const value = found.get(JSON.stringify([row, column])) ?? 0;
      const strength = value === 0 ? 0 : 0.15 + (0.85 * value) / totals.get(row)!;
      return html`<td class="${row === column ? 'right' : 'wrong'}" style="--s:${strength.toFixed(2)}">${value || ''}</td>`;
    })}</tr>`,
)}
</tbody></table></div>${rows.length > most && html`<p class="dim">The ${most} most frequent of ${rows.length} labels.</p>`}`;
}
