// A GGUF file as a Completer: what `evaluate` asks is answered by the code that serves.
import type { Completer, ContinuationLikelihood } from '../chat/completer.ts';
import type { Engine } from './engine/engine.ts';
import type { GenerateResult } from './engine/protocol.ts';
import { type ModelOptions, openServedModel, type ServedModel } from './served-model.ts';

/** @throws CupelError when the model cannot be loaded */
export async function openCompleter(path: string, options: ModelOptions = {}): Promise<Completer> {
  return completerOf(await openServedModel(path, options));
}

function completerOf({ name, engine, piecesOf, close }: ServedModel): Completer {
  return {
    name,
    concurrency: engine.info.parallel,
    complete: async ({ messages, tools, maxTokens, temperature = 0, seed, stop, labels, logprobs, signal }) => {
      const started = performance.now();
      const asked = { pieces: piecesOf(messages, tools), maxTokens, sampling: { temperature, seed }, stop, labels };
      const request = logprobs ? { ...asked, logprobs: 0 } : asked;
      const result = await engine.generate(request, { signal });
      const { text, finishReason, promptTokens, cachedTokens, completionTokens } = result;
      const seconds = (performance.now() - started) / 1000;
      const known = logprobs ? { logprobs: logprobsOf(result) } : {};
      return { text, finishReason, promptTokens, cachedTokens, completionTokens, seconds, ...known };
    },
    loglikelihood: ({ context, continuations }) => likelihoodsOf(engine, context, continuations),
    close,
  };
}

/** Of a label set: of the label as a whole. */
function logprobsOf({ logprobs, confidence }: GenerateResult): number[] {
  return logprobs?.map(({ logprob }) => logprob) ?? (confidence === undefined ? [] : [Math.log(confidence)]);
}

/**
 * A continuation's tokens are those of the whole text beyond as many as the context has alone, with the spaces that end the
 * context counted to it (lm-evaluation-harness, `_encode_pair`).
 */
async function likelihoodsOf(
  engine: Engine,
  context: string,
  continuations: string[],
): Promise<ContinuationLikelihood[]> {
  const start = context.trimEnd();
  const spaces = context.slice(start.length);
  const encode = (text: string) =>
    engine.call({ kind: 'tokenize', text, addSpecial: true, parseSpecial: true }) as Promise<number[]>;
  const prompt = await encode(start);
  const tokens = await Promise.all(
    continuations.map(async (text) => (await encode(`${start}${spaces}${text}`)).slice(prompt.length)),
  );
  return engine.call({ kind: 'likelihoods', prompt, continuations: tokens });
}
