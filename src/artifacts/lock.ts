// One run at a time in a workspace: a lock file with the holder's process id, taken over when the holder is gone.
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { CupelError } from '../base/errors.ts';

/** Takes the workspace; the returned function gives it back. @throws CupelError while another live process holds it */
export function lockWorkspace(workspace: string): () => void {
  mkdirSync(workspace, { recursive: true });
  const file = join(workspace, '.lock');
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      const fd = openSync(file, 'wx');
      writeSync(fd, String(process.pid));
      closeSync(fd);
      const release = () => rmSync(file, { force: true });
      process.once('exit', release);
      return () => {
        process.removeListener('exit', release);
        release();
      };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      const holder = existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0;
      if (holder !== process.pid && isAlive(holder)) throw busy(workspace, holder);
      rmSync(file, { force: true });
    }
  }
  throw busy(workspace, 0);
}

function busy(workspace: string, holder: number): CupelError {
  return new CupelError(`another run (process ${holder || 'unknown'}) is working here`, {
    place: { file: workspace },
    remedy: 'wait for it, or give another --workspace',
  });
}

function isAlive(pid: number): boolean {
  if (!pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
