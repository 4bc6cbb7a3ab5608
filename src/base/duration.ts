// Durations as people write them (`90s`, `10m`, `1h30m`) and as people read them.
import { CupelError } from './errors.ts';

const SECONDS: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86400 };

/** Seconds of `90s`, `10m`, `1h30m` or a bare number of seconds. @throws CupelError naming the field */
export function parseDuration(text: string, field: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)([smhd])/g)];
  const whole = parts.map((part) => part[0]).join('');
  const seconds = /^\d+(\.\d+)?$/.test(text)
    ? Number(text)
    : parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * SECONDS[unit], 0);
  if (seconds > 0 && Number.isFinite(seconds) && (whole === text || whole === '')) return seconds;
  throw new CupelError(`not a duration: "${text}"`, {
    place: { field },
    remedy: 'write a number with a unit, e.g. 90s, 10m or 1h30m',
    exitCode: 2,
  });
}

/** `45s`, `3m 20s`, `1h 5m`. */
export function formatDuration(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m ${s % 60}s`;
  return `${Math.floor(s / 3600)}h ${Math.floor((s % 3600) / 60)}m`;
}

/** `1.5 GB`, `340 MB`, `12 kB` (decimal units). */
export function formatBytes(bytes: number): string {
  const [divisor, unit] = bytes >= 1e9 ? [1e9, 'GB'] : bytes >= 1e6 ? [1e6, 'MB'] : [1e3, 'kB'];
  const value = bytes / divisor;
  return `${value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${unit}`;
}
