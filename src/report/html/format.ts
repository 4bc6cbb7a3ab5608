// Numbers as the report shows them.

/** Money with as many digits as tell something: `$0.0031`, `$12.40`, `$1,234`. */
export function usd(amount: number): string {
  if (!Number.isFinite(amount)) return 'unknown';
  if (amount === 0) return '$0';
  if (amount >= 100) return `$${Math.round(amount).toLocaleString('en')}`;
  return `$${amount >= 0.01 ? amount.toFixed(amount >= 1 ? 2 : 3) : amount.toPrecision(2)}`;
}

export function count(value: number): string {
  return Math.round(value).toLocaleString('en');
}

export function share(value: number, digits = 1): string {
  return Number.isFinite(value) ? `${(value * 100).toFixed(digits)}%` : 'unknown';
}

/** Evenly spaced round numbers within [low, high]. */
export function ticks(low: number, high: number, wanted: number): number[] {
  const raw = (high - low || 1) / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw)!;
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}
