// The store's thread: takes the journal over into the database and answers queries, so that the gateway's thread never waits.
import { parentPort, workerData } from 'node:worker_threads';
import { Drain } from './drain.ts';
import { openStore, reason } from './open.ts';
import type { FromWorker, ToWorker, WorkerData } from './protocol.ts';
import { removeSetAside } from './set-aside.ts';
import { standBack } from './stand-back.ts';
import type { ExchangeFilter, Store } from './store.ts';

const { folder, place, retainDays } = workerData as WorkerData;
const port = parentPort!;
const tell = (message: FromWorker) => port.postMessage(message);

const drain = new Drain({ folder, open, onStatus: (status) => tell({ status }), retainDays });
const running = drain.run();

port.on('message', (message: ToWorker) => {
  answer(message).then(
    (result) => tell({ id: message.id, result }),
    (error: unknown) => tell({ id: message.id, error: reason(error), away: !drain.status.connected }),
  );
});

/** Callers wait for the store to open; only from then on it stands back. */
async function open(): Promise<Store> {
  const store = await openStore(place);
  await standBack();
  return store;
}

async function answer(message: ToWorker): Promise<unknown> {
  switch (message.call) {
    case 'status':
      return drain.status;
    case 'arrival':
      return drain.arrival(message.segment);
    case 'stop':
      drain.stop();
      await running;
      setImmediate(() => port.close());
      return undefined;
    default: {
      if (!drain.store) throw new Error(drain.status.problem ?? 'the database is not open yet');
      const method = drain.store[message.call] as (...args: unknown[]) => Promise<unknown>;
      const result = await method.apply(drain.store, message.args);
      if (message.call !== 'remove') return result;
      return (result as number) + removeSetAside(folder, message.args[0] as ExchangeFilter);
    }
  }
}
