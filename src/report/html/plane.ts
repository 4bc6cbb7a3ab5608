// The quality-cost plane as inline SVG: money on a logarithmic scale, quality with its interval.
import type { PlanePoint } from '../plane.ts';
import { share, ticks, usd } from './format.ts';
import { html, type Markup } from './markup.ts';

const [WIDTH, HEIGHT] = [640, 300];

/** Up and to the left is better. Points whose cost is not known are left out. */
export function planeChart(all: readonly PlanePoint[]): Markup {
  const points = all.filter((point) => point.usdPer1k > 0 && Number.isFinite(point.usdPer1k));
  if (points.length === 0) return html``;
  const [left, right, top, bottom] = [56, WIDTH - 20, 14, HEIGHT - 40];
  const logs = points.map((point) => Math.log10(point.usdPer1k));
  const [from, to] = [
    Math.floor(Math.min(...logs)),
    Math.max(Math.ceil(Math.max(...logs)), Math.floor(Math.min(...logs)) + 1),
  ];
  const low = Math.max(0, Math.floor(Math.min(...points.map((point) => point.lower)) * 10 - 0.5) / 10);
  const x = (value: number) => left + ((Math.log10(value) - from) / (to - from)) * (right - left);
  const y = (value: number) => bottom - ((value - low) / (1 - low)) * (bottom - top);
  const powers = Array.from({ length: to - from + 1 }, (_, i) => 10 ** (from + i));
  return html`<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="quality over the cost of 1,000 requests">
${ticks(low, 1, 5).map((t) => html`<line class="grid" x1="${left}" x2="${right}" y1="${y(t)}" y2="${y(t)}"/><text class="tick" x="${left - 8}" y="${y(t) + 4}" text-anchor="end">${share(t, 0)}</text>`)}
${powers.map((power) => html`<line class="grid" x1="${x(power)}" x2="${x(power)}" y1="${top}" y2="${bottom}"/><text class="tick" x="${x(power)}" y="${bottom + 18}" text-anchor="middle">${usd(power)}</text>`)}
<text class="tick" x="${(left + right) / 2}" y="${HEIGHT - 4}" text-anchor="middle">cost of 1,000 requests</text>
${points.map((point) => {
  const [px, py] = [x(point.usdPer1k), y(point.quality)];
  const end = px > WIDTH / 2;
  return html`<line class="line ${point.tone}" x1="${px}" x2="${px}" y1="${y(point.lower)}" y2="${y(point.upper)}"/><circle class="dot ${point.tone}" cx="${px}" cy="${py}" r="6"><title>${point.name}: ${share(point.quality)} (${share(point.lower)} to ${share(point.upper)}), ${usd(point.usdPer1k)}</title></circle><text class="label" x="${end ? px - 12 : px + 12}" y="${py + 5}" text-anchor="${end ? 'end' : 'start'}">${point.name}</text>`;
})}
</svg>`;
}
