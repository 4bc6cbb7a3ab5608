// Where the catalog looks and keeps things: cache folder, endpoints and package indexes, from the environment and pip's own files.
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

export type Environment = Readonly<Record<string, string | undefined>>;

/** CUPEL_CACHE, or `cupel` in the platform's folder for caches. */
export function cacheFolder(env: Environment): string {
  if (env.CUPEL_CACHE) return env.CUPEL_CACHE;
  if (process.platform === 'win32')
    return join(env.LOCALAPPDATA ?? join(homedir(), 'AppData', 'Local'), 'cupel', 'Cache');
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches', 'cupel');
  return join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'cupel');
}

export function hubEndpoint(env: Environment): string {
  return trimSlash(env.HF_ENDPOINT || 'https://huggingface.co');
}

export function modelscopeEndpoint(env: Environment): string {
  return trimSlash(env.MODELSCOPE_ENDPOINT || 'https://www.modelscope.cn');
}

export interface IndexSettings {
  /** Base URLs of simple-API indexes, in order of preference. */
  indexes: string[];
  /** Folders or pages with wheels (`--find-links`). */
  findLinks: string[];
}

const PYPI = 'https://pypi.org/simple';

/** What pip is told by its environment variables and configuration files. */
export function indexSettings(env: Environment): IndexSettings {
  const file = pipConfiguration(env);
  const list = (variable: string, key: string) => words(env[variable] ?? file.get(key));
  const noIndex = /^(1|true|yes|on)$/i.test(env.PIP_NO_INDEX ?? file.get('no-index') ?? '');
  const main = words(env.PIP_INDEX_URL ?? env.UV_DEFAULT_INDEX ?? file.get('index-url') ?? PYPI);
  const indexes = noIndex ? [] : [...main.slice(0, 1), ...list('PIP_EXTRA_INDEX_URL', 'extra-index-url')];
  return { indexes: [...new Set(indexes.map(trimSlash))], findLinks: list('PIP_FIND_LINKS', 'find-links') };
}

function pipConfiguration(env: Environment): Map<string, string> {
  const home = homedir();
  const candidates = env.PIP_CONFIG_FILE
    ? [env.PIP_CONFIG_FILE]
    : [
        '/etc/pip.conf',
        join(home, '.pip', 'pip.conf'),
        join(env.XDG_CONFIG_HOME || join(home, '.config'), 'pip', 'pip.conf'),
        join(home, 'Library', 'Application Support', 'pip', 'pip.conf'),
        ...(env.APPDATA ? [join(env.APPDATA, 'pip', 'pip.ini')] : []),
        ...(env.VIRTUAL_ENV ? [join(env.VIRTUAL_ENV, 'pip.conf')] : []),
      ];
  const values = new Map<string, string>();
  for (const path of candidates.filter((candidate) => existsSync(candidate))) {
    for (const [key, value] of parseIni(readFileSync(path, 'utf8'))) values.set(key, value);
  }
  return values;
}

/** Keys of the sections that concern downloads; a value may go on in indented lines. */
function parseIni(text: string): Map<string, string> {
  const values = new Map<string, string>();
  let section = '';
  let key = '';
  for (const line of text.split(/\r?\n/)) {
    if (/^\s*([#;]|$)/.test(line)) continue;
    const heading = /^\[(.+)\]\s*$/.exec(line);
    const pair = /^([\w.-]+)\s*[=:]\s*(.*)$/.exec(line);
    if (heading) [section, key] = [heading[1], ''];
    else if (!['global', 'install', 'download'].includes(section)) continue;
    else if (/^\s/.test(line) && key) values.set(key, `${values.get(key)} ${line.trim()}`);
    else if (pair) {
      key = pair[1];
      values.set(key, pair[2].trim());
    }
  }
  return values;
}

const words = (text: string | undefined): string[] => (text ?? '').split(/\s+/).filter(Boolean);
const trimSlash = (url: string): string => url.replace(/\/+$/, '');
