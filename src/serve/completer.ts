// A GGUF file as a Completer: what `evaluate` asks is answered by the code that serves.
import type { Completer } from '../chat/completer.ts';
import { type ModelOptions, openServedModel, type ServedModel } from './served-model.ts';

/** @throws CupelError when the model cannot be loaded */
export async function openCompleter(path: string, options: ModelOptions = {}): Promise<Completer> {
  return completerOf(await openServedModel(path, options));
}

function completerOf({ name, engine, piecesOf, close }: ServedModel): Completer {
  return {
    name,
    concurrency: engine.info.parallel,
    complete: async ({ messages, tools, maxTokens, temperature = 0, seed, stop, signal }) => {
      const started = performance.now();
      const request = { pieces: piecesOf(messages, tools), maxTokens, sampling: { temperature, seed }, stop };
      const result = await engine.generate(request, { signal });
      const { text, finishReason, promptTokens, cachedTokens, completionTokens } = result;
      const seconds = (performance.now() - started) / 1000;
      return { text, finishReason, promptTokens, cachedTokens, completionTokens, seconds };
    },
    close,
  };
}
