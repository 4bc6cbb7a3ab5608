// The engine as the main thread sees it: promises and callbacks over messages to its thread.
import type { Worker } from 'node:worker_threads';
import { CupelError } from '../../base/errors.ts';
import { startWorker } from '../../base/worker.ts';
import type {
  EngineCall,
  EngineCallResult,
  EngineEvent,
  EngineFault,
  EngineInfo,
  EngineSettings,
  FromEngine,
  GenerateRequest,
  GenerateResult,
  TextDelta,
  ToEngine,
} from './protocol.ts';

/** A request that the engine refused or could not finish. */
export class EngineError extends CupelError {
  readonly code: EngineFault['code'];

  constructor({ code, message }: EngineFault) {
    super(message);
    this.code = code;
  }
}

interface Pending {
  resolve: (value: unknown) => void;
  reject: (error: unknown) => void;
  onDelta?: (delta: TextDelta) => void;
}

export class Engine {
  readonly info: EngineInfo;
  private readonly worker: Worker;
  private readonly pending = new Map<number, Pending>();
  private nextId = 1;
  private dead: Error | undefined;

  constructor(worker: Worker, info: EngineInfo) {
    this.worker = worker;
    this.info = info;
    worker.on('message', (message: FromEngine) => this.receive(message));
    worker.on('error', (error) => this.die(error));
    worker.on('exit', () => this.die(new CupelError('the engine has stopped')));
  }

  /** @throws EngineError; the signal's reason when it is aborted */
  generate(
    request: GenerateRequest,
    options: { signal?: AbortSignal; onDelta?: (delta: TextDelta) => void } = {},
  ): Promise<GenerateResult> {
    const { signal, onDelta } = options;
    if (signal?.aborted) return Promise.reject(signal.reason);
    const id = this.nextId++;
    const answer = this.ask(
      id,
      { type: 'generate', id, request: { ...request, stream: onDelta !== undefined } },
      onDelta,
    );
    const cancel = () => {
      this.post({ type: 'cancel', id });
      this.settle(id, (pending) => pending.reject(signal?.reason));
    };
    signal?.addEventListener('abort', cancel, { once: true });
    return (answer as Promise<GenerateResult>).finally(() => signal?.removeEventListener('abort', cancel));
  }

  call<K extends EngineCall['kind']>(call: Extract<EngineCall, { kind: K }>): Promise<EngineCallResult[K]> {
    const id = this.nextId++;
    return this.ask(id, { type: 'call', id, call }) as Promise<EngineCallResult[K]>;
  }

  async close(): Promise<void> {
    if (this.dead) return;
    const gone = new Promise((done) => this.worker.once('exit', done));
    this.post({ type: 'close' });
    await gone;
  }

  private ask(id: number, message: ToEngine, onDelta?: (delta: TextDelta) => void): Promise<unknown> {
    if (this.dead) return Promise.reject(this.dead);
    return new Promise((resolve, reject) => {
      this.pending.set(id, { resolve, reject, onDelta });
      this.post(message);
    });
  }

  private post(message: ToEngine): void {
    this.worker.postMessage(message);
  }

  private receive(message: FromEngine): void {
    if (message.type === 'events') for (const event of message.events) this.handle(event);
    else if (message.type === 'failed') this.die(new CupelError(message.message));
  }

  private handle(event: EngineEvent): void {
    if (event.type === 'delta') this.pending.get(event.id)?.onDelta?.(event.delta);
    else if (event.type === 'done') this.settle(event.id, ({ resolve }) => resolve(event.result));
    else if (event.type === 'returned') this.settle(event.id, ({ resolve }) => resolve(event.value));
    else this.settle(event.id, ({ reject }) => reject(new EngineError(event.fault)));
  }

  private settle(id: number, how: (pending: Pending) => void): void {
    const pending = this.pending.get(id);
    this.pending.delete(id);
    if (pending) how(pending);
  }

  private die(error: Error): void {
    this.dead ??= error;
    for (const id of [...this.pending.keys()]) this.settle(id, ({ reject }) => reject(error));
  }
}

/** Loads a model in a thread of its own. @throws CupelError when it cannot be loaded */
export function openEngine(settings: EngineSettings): Promise<Engine> {
  const worker = startWorker(import.meta.url, './worker', { workerData: settings });
  return new Promise((resolve, reject) => {
    worker.once('error', reject);
    worker.once('message', (message: FromEngine) => {
      worker.removeListener('error', reject);
      if (message.type === 'ready') resolve(new Engine(worker, message.info));
      else if (message.type === 'failed') {
        reject(new CupelError(message.message, { place: { file: message.file }, remedy: message.remedy }));
      }
    });
  });
}
