// A helper of a crew: takes part in the jobs it is told of.
import { parentPort } from 'node:worker_threads';
import { arrayAt, type Task, TURN, takeChunks } from './crew.ts';
import { chunkRunner } from './kernels.ts';

const kernels = chunkRunner();

parentPort?.on('message', ({ arrays, turn, ...job }: Task) => {
  // before a look at what is left: who waits must know of everyone who may take a chunk
  Atomics.add(turn, TURN.begun, 1);
  try {
    // the arrays are there only as long as there are chunks, or one of them is under way
    const whole = { ...job, arrays: arrays.map(arrayAt) };
    takeChunks(kernels, whole, turn);
  } catch {
    Atomics.store(turn, TURN.failed, 1);
  } finally {
    Atomics.add(turn, TURN.ended, 1);
    Atomics.notify(turn, TURN.ended);
  }
});
