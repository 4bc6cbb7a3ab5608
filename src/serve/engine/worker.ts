// The engine's thread: owns the model and its KV cache, evaluates batches, answers messages.
import { availableParallelism } from 'node:os';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { CupelError } from '../../base/errors.ts';
import { Batch } from '../llama/batch.ts';
import { LlamaContext } from '../llama/context.ts';
import { type Llama, loadLlama } from '../llama/library.ts';
import { type LlamaModel, loadModel } from '../llama/model.ts';
import { Candidates, Sampler } from '../llama/sampler.ts';
import { TokenBytes, tokenize } from '../llama/tokenize.ts';
import { Generation } from './generation.ts';
import type {
  EngineCall,
  EngineEvent,
  EngineSettings,
  FromEngine,
  GenerateRequest,
  PromptPiece,
  ToEngine,
} from './protocol.ts';
import { Scheduler } from './scheduler.ts';

const BATCH_TOKENS = 1024;
const USUAL_CONTEXT = 4096;
const USUAL_PARALLEL = 16;
/** Of the machine's memory, for the KV cache. */
const CACHE_BYTES = 2 ** 31;

class EngineThread {
  private readonly port: MessagePort;
  private readonly llama: Llama;
  private readonly model: LlamaModel;
  private readonly context: LlamaContext;
  private readonly batch: Batch;
  private readonly bytes: TokenBytes;
  private readonly candidates: Candidates;
  private readonly scheduler: Scheduler;
  private events: EngineEvent[] = [];
  private running = false;
  private closed = false;

  constructor(port: MessagePort, settings: EngineSettings) {
    this.port = port;
    this.llama = loadLlama({ gpu: settings.gpu });
    this.model = loadModel(this.llama, settings.model);
    const contextTokens = settings.contextTokens ?? Math.min(USUAL_CONTEXT, this.model.trainedContext);
    const fits = Math.floor(CACHE_BYTES / (this.model.cacheBytesPerToken * contextTokens));
    const parallel = settings.parallel ?? Math.max(1, Math.min(USUAL_PARALLEL, fits));
    this.context = new LlamaContext(this.llama, this.model, {
      contextTokens,
      sequences: parallel,
      threads: settings.threads || availableParallelism(),
      batchTokens: BATCH_TOKENS,
      outputs: BATCH_TOKENS,
    });
    this.batch = new Batch(this.llama, BATCH_TOKENS);
    this.bytes = new TokenBytes(this.llama, this.model);
    this.candidates = new Candidates(this.llama, this.model.vocabSize, this.bytes);
    this.scheduler = new Scheduler(this.context, this.batch, this.model.vocabSize, parallel, {
      progressed: (generation) => this.report(generation),
    });
    const { trainedContext, vocabSize, parameters, bytes, description } = this.model;
    const library = this.llama.libraries.package;
    this.send({
      type: 'ready',
      info: {
        contextTokens: this.context.contextTokens,
        parallel,
        trainedContext,
        vocabSize,
        parameters,
        bytes,
        description,
        library,
      },
    });
    port.on('message', (message: ToEngine) => this.receive(message));
  }

  private receive(message: ToEngine): void {
    if (message.type === 'generate') this.generate(message.id, message.request);
    else if (message.type === 'cancel') this.scheduler.cancel(message.id);
    else if (message.type === 'call')
      this.attempt(message.id, () => this.returned(message.id, this.call(message.call)));
    else this.close();
    this.flush();
  }

  private generate(id: number, request: GenerateRequest): void {
    this.attempt(id, () => {
      const prompt = this.promptOf(request);
      const room = this.context.contextTokens - prompt.length;
      if (prompt.length === 0 || room < 1) {
        const message =
          prompt.length === 0
            ? 'the prompt is empty'
            : `the prompt has ${prompt.length} tokens; the context holds ${this.context.contextTokens}`;
        this.events.push({ type: 'fault', id, fault: { code: 'context_length_exceeded', message } });
        return;
      }
      const sampler = new Sampler(this.llama, this.model, this.candidates, request.sampling);
      const bounded = { ...request, maxTokens: Math.min(request.maxTokens, room) };
      this.scheduler.add(new Generation(id, bounded, prompt, sampler, { model: this.model, bytes: this.bytes }));
      if (!this.running) this.run();
    });
  }

  /** Steps until nothing is left to do, looking at messages between steps. */
  private run(): void {
    this.running = true;
    const step = () => {
      if (this.closed) return;
      try {
        this.scheduler.step();
      } catch (error) {
        this.send({ type: 'failed', message: (error as Error).message });
        throw error;
      }
      this.flush();
      if (this.scheduler.idle) this.running = false;
      else setImmediate(step);
    };
    setImmediate(step);
  }

  private report(generation: Generation): void {
    const { id, request } = generation;
    const delta = request.stream ? generation.delta() : undefined;
    if (delta) this.events.push({ type: 'delta', id, delta });
    if (generation.finish) this.events.push({ type: 'done', id, result: generation.result() });
  }

  private promptOf({ tokens, pieces, text }: GenerateRequest): number[] {
    if (tokens) return tokens;
    if (pieces) return this.encode(pieces);
    return tokenize(this.llama, this.model, text ?? '', { addSpecial: true, parseSpecial: true });
  }

  private encode(pieces: PromptPiece[]): number[] {
    return pieces.flatMap((piece) => piece.id ?? tokenize(this.llama, this.model, piece.text));
  }

  private call(call: EngineCall): unknown {
    if (call.kind === 'tokenize') return tokenize(this.llama, this.model, call.text, call);
    if (call.kind === 'encode') return this.encode(call.pieces);
    if (call.kind === 'detokenize')
      return Buffer.concat(call.tokens.map((token) => this.bytes.of(token))).toString('utf8');
    return this.logits(call.tokens);
  }

  /** Logits of every token, for tests; only while nothing else runs. */
  private logits(tokens: number[]): Float32Array {
    if (!this.scheduler.idle) throw new CupelError('the engine is busy');
    if (tokens.length > BATCH_TOKENS) throw new CupelError(`more than ${BATCH_TOKENS} tokens`);
    this.context.cutBack(0, 0);
    this.batch.clear();
    for (const [at, token] of tokens.entries()) this.batch.add(token, at, 0, true);
    this.context.decode(this.batch);
    const rows = this.context.logits(tokens.length).slice();
    this.context.cutBack(0, 0);
    return rows;
  }

  private attempt(id: number, work: () => void): void {
    try {
      work();
    } catch (error) {
      const grammar = error instanceof CupelError && error.place.field === 'grammar';
      const code = grammar ? 'invalid_grammar' : 'engine_error';
      this.events.push({ type: 'fault', id, fault: { code, message: (error as Error).message } });
    }
  }

  private returned(id: number, value: unknown): void {
    this.events.push({ type: 'returned', id, value });
  }

  private flush(): void {
    if (this.events.length === 0) return;
    this.send({ type: 'events', events: this.events });
    this.events = [];
  }

  private send(message: FromEngine): void {
    this.port.postMessage(message);
  }

  private close(): void {
    this.closed = true;
    this.batch.free();
    this.context.free();
    this.model.free();
    this.port.close();
  }
}

if (parentPort) {
  try {
    new EngineThread(parentPort, workerData as EngineSettings);
  } catch (error) {
    const { message, place, remedy } = error as CupelError;
    const failed: FromEngine = { type: 'failed', message, file: place?.file, remedy };
    parentPort.postMessage(failed);
    parentPort.close();
  }
}
