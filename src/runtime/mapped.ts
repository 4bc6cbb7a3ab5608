// Memory that was needed once: given back to the system on Linux; elsewhere nothing happens.
import { readFileSync } from 'node:fs';
import koffi from 'koffi';

/** MADV_DONTNEED: of a mapped file that nobody writes to, pages are read again when they are needed. */
const DONT_NEED = 4;

/** Gives the pages of a mapped file back, which will hardly be read again. */
export function letGoOfPages(file: string): void {
  if (process.platform !== 'linux') return;
  const advise = koffi.load('libc.so.6').func('int madvise(uintptr_t address, size_t length, int advice)');
  for (const line of readFileSync('/proc/self/maps', 'utf8').split('\n')) {
    const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) r--s /.exec(line) ?? [];
    if (from && line.endsWith(file)) {
      const start = BigInt(`0x${from}`);
      advise(start, BigInt(`0x${to}`) - start, DONT_NEED);
    }
  }
}

/** Gives back what the C library keeps of freed memory. */
export function trimHeap(): void {
  if (process.platform === 'linux') koffi.load('libc.so.6').func('int malloc_trim(size_t pad)')(0);
}
