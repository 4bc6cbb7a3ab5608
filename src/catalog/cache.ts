// Where downloaded weights are kept: CUPEL_CACHE, or the user's cache folder of the platform.
import { homedir } from 'node:os';
import { join } from 'node:path';

export function cacheFolder(environment: NodeJS.ProcessEnv = process.env): string {
  if (environment.CUPEL_CACHE) return environment.CUPEL_CACHE;
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches', 'cupel');
  if (process.platform === 'win32') return join(environment.LOCALAPPDATA ?? homedir(), 'cupel', 'Cache');
  return join(environment.XDG_CACHE_HOME || join(homedir(), '.cache'), 'cupel');
}
