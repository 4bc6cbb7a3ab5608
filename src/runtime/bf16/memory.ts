// Where buffers lie that live at different times: those that never meet share memory.

/** Memory of a tape. `slot` is null for what lives only while it runs; `arrange` finds its place. */
export interface Buffer {
  bytes: number;
  slot: number | null;
}

/** First and last op that uses a buffer. */
export interface Use {
  readonly first: number;
  readonly last: number;
}

/** Two cache lines: what two threads write lies apart. */
const ALIGNMENT = 128;

interface Gap {
  start: number;
  end: number;
}

/** Each buffer takes the tightest gap that is free when it begins, in order of their beginnings. */
export function arrange(uses: ReadonlyMap<Buffer, Use>): { offsets: ReadonlyMap<Buffer, number>; bytes: number } {
  const offsets = new Map<Buffer, number>();
  const ending: Buffer[][] = [];
  const gaps: Gap[] = [];
  let bytes = 0;
  let now = -1;
  const sizeOf = (buffer: Buffer) => Math.ceil(buffer.bytes / ALIGNMENT) * ALIGNMENT;
  const begun = [...uses].sort(([, a], [, b]) => a.first - b.first);
  for (const [buffer, { first, last }] of begun) {
    for (; now < first - 1; now++)
      for (const ended of ending[now + 1] ?? []) free(gaps, offsets.get(ended)!, sizeOf(ended));
    const size = sizeOf(buffer);
    const tight = gaps
      .filter(({ start, end }) => end - start >= size)
      .reduce<Gap | null>((best, gap) => (best && best.end - best.start <= gap.end - gap.start ? best : gap), null);
    if (tight) {
      offsets.set(buffer, tight.start);
      tight.start += size;
      if (tight.start === tight.end) gaps.splice(gaps.indexOf(tight), 1);
    } else {
      // the last gap, if it ends where memory does, is made as long as it must be
      const tail = gaps.at(-1);
      const start = tail && tail.end === bytes ? tail.start : bytes;
      if (tail && tail.end === bytes) gaps.pop();
      offsets.set(buffer, start);
      bytes = start + size;
    }
    ending[last] = [...(ending[last] ?? []), buffer];
  }
  return { offsets, bytes };
}

/** Gaps stand in order and never touch. */
function free(gaps: Gap[], start: number, size: number): void {
  if (size === 0) return;
  let at = 0;
  while (at < gaps.length && gaps[at].start < start) at++;
  gaps.splice(at, 0, { start, end: start + size });
  if (gaps[at + 1]?.start === gaps[at].end) gaps[at].end = gaps.splice(at + 1, 1)[0].end;
  if (at > 0 && gaps[at - 1].end === gaps[at].start) gaps[at - 1].end = gaps.splice(at, 1)[0].end;
}
