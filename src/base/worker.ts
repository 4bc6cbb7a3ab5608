// Starts a worker thread from a module beside the caller, whether the caller runs from TypeScript or from the build.
import { Worker, type WorkerOptions } from 'node:worker_threads';

/**
 * @param callerUrl the caller's `import.meta.url`
 * @param name the worker's module relative to the caller, without extension, e.g. `./train-worker`
 */
export function startWorker(callerUrl: string, name: string, options: WorkerOptions = {}): Worker {
  const fromSource = callerUrl.endsWith('.ts');
  const url = new URL(`${name}${fromSource ? '.ts' : '.js'}`, callerUrl);
  if (!fromSource) return new Worker(url, options);
  // `register` must run inside the thread before the module loads
  const tsx = import.meta.resolve('tsx/esm/api');
  const boot = `import(${JSON.stringify(tsx)}).then(({register})=>{register();return import(${JSON.stringify(url.href)})})`;
  return new Worker(boot, { ...options, eval: true });
}
