// The training thread: ONNX Runtime blocks the thread it runs on, so the command line stays free beside it.
import { parentPort, workerData } from 'node:worker_threads';
import { Interrupted } from '../train/loop.ts';
import { type FromTraining, type TrainingJob, toPlain } from './protocol.ts';
import { runTraining } from './training.ts';

const say = (message: FromTraining) => parentPort?.postMessage(message);

try {
  const facts = await runTraining(workerData as TrainingJob, (event) => say({ type: 'progress', event }));
  say({ type: 'done', facts });
} catch (error) {
  if (error instanceof Interrupted) say({ type: 'stopped', message: error.message });
  else say({ type: 'failed', error: toPlain(error) });
}
