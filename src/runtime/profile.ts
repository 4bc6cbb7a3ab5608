// Where the time of a session goes, by kind of operator, from the profile that ONNX Runtime writes.
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

export interface OpTime {
  /** ONNX operator, e.g. `DynamicQuantizeMatMul`. */
  readonly op: string;
  readonly calls: number;
  readonly seconds: number;
  /** Of the time of all operators. */
  readonly share: number;
}

interface ProfileEvent {
  readonly cat: string;
  readonly name: string;
  /** Microseconds. */
  readonly dur: number;
  readonly args?: { readonly op_name?: string };
}

/** Sums the profile written under `prefix`, the costliest operator first, and deletes its files. */
export function takeProfile(prefix: string): OpTime[] {
  const folder = dirname(prefix);
  const times = new Map<string, { calls: number; seconds: number }>();
  for (const name of readdirSync(folder).filter((file) => file.startsWith(basename(prefix)))) {
    for (const { cat, name: event, dur, args } of JSON.parse(
      readFileSync(join(folder, name), 'utf8'),
    ) as ProfileEvent[]) {
      if (cat !== 'Node' || !event.endsWith('_kernel_time') || !args?.op_name) continue;
      const known = times.get(args.op_name) ?? { calls: 0, seconds: 0 };
      times.set(args.op_name, { calls: known.calls + 1, seconds: known.seconds + dur / 1e6 });
    }
    rmSync(join(folder, name));
  }
  const total = [...times.values()].reduce((sum, { seconds }) => sum + seconds, 0);
  return [...times]
    .map(([op, { calls, seconds }]) => ({ op, calls, seconds, share: seconds / total }))
    .sort((a, b) => b.seconds - a.seconds);
}

/** Microseconds by kind of node, as ONNX Runtime writes a profile. */
export function eventsOf(times: ReadonlyMap<string, readonly number[]>) {
  return [...times].flatMap(([op, all]) =>
    all.map((dur) => ({ cat: 'Node', name: `${op}_kernel_time`, dur, args: { op_name: op } })),
  );
}
