// What the gateway's thread and the store's thread say to each other.
import type { DrainStatus } from './drain.ts';
import type { StorePlace } from './open.ts';
import type { Store } from './store.ts';

/** Store methods that the gateway may call across threads. */
export type StoreCall = 'page' | 'remove' | 'counts' | 'spent' | 'keys' | 'addKey' | 'revokeKey';

export interface WorkerData {
  folder: string;
  place: StorePlace;
  retainDays?: number;
}

export type ToWorker =
  | { id: number; call: StoreCall; args: unknown[] }
  | { id: number; call: 'arrival'; segment: number }
  | { id: number; call: 'status' }
  | { id: number; call: 'stop' };

export type FromWorker =
  | { id: number; result: unknown }
  | { id: number; error: string; away: boolean }
  | { status: DrainStatus };

/** The store as the other thread sees it. */
export type RemoteStore = Pick<Store, StoreCall>;
