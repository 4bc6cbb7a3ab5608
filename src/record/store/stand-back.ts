// On Linux a thread has a priority of its own: the store's thread stands back for the one that answers.
import { readlinkSync } from 'node:fs';
import { constants, setPriority } from 'node:os';

/** `sched_setattr` of Linux, which the C library of most systems does not have by name. */
const CALL: Partial<Record<NodeJS.Architecture, number>> = { x64: 314, arm64: 274 };

/** Nanoseconds for which this thread, once it runs, may not be interrupted; on two processors the kernel has 1.4 ms. */
const SLICE = 100_000n;

/** Taking over into the store never delays an answer by more than a moment, and still gets what the others leave. */
export async function standBack(): Promise<void> {
  try {
    const thread = Number(readlinkSync('/proc/thread-self').split('/').at(-1));
    if (thread === process.pid) return;
    setPriority(thread, constants.priority.PRIORITY_LOW);
    await shortSlices();
  } catch {
    // elsewhere the threads are equals
  }
}

/** Kernels before 6.12 leave it at the priority. */
async function shortSlices(): Promise<void> {
  const call = CALL[process.arch];
  if (call === undefined) return;
  const { default: koffi } = await import('koffi');
  const syscall = koffi.load(null).func('long syscall(long number, int thread, const void *attributes, uint flags)');
  // struct sched_attr: size, policy, flags, nice, priority, runtime, deadline, period
  const attributes = Buffer.alloc(48);
  attributes.writeUInt32LE(attributes.length, 0);
  attributes.writeInt32LE(constants.priority.PRIORITY_LOW, 16);
  attributes.writeBigUInt64LE(SLICE, 24);
  syscall(call, 0, attributes, 0);
}
