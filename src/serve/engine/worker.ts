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
import { Adapters } from './adapters.ts';
import { Embedder } from './embedder.ts';
import { Generation } from './generation.ts';
import { LabelWalk } from './labels.ts';
import { type Likelihood, likelihoods } from './likelihood.ts';
import { OwnCaches } from './places.ts';
import type {
  EngineCall,
  EngineEvent,
  EngineSettings,
  FromEngine,
  GenerateRequest,
  PromptPiece,
  ToEngine,
} from './protocol.ts';
import { RecentPrompts } from './recent.ts';
import { RecentAnswers } from './recent-answers.ts';
import { Refused } from './refused.ts';
import { Scheduler, type SchedulerEvents } from './scheduler.ts';
import { isSharing, SharedLane } from './shared-lane.ts';

const BATCH_TOKENS = 1024;
const USUAL_CONTEXT = 4096;
const USUAL_PARALLEL = 16;
/** Rows of logits of one decode beside one for each sequence: drafts to check. */
const MORE_OUTPUTS = 32;
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
  /** For short answers behind a long common prefix; made for the first of them, null where it cannot be. */
  private shared: SharedLane | null | undefined;
  private readonly makeShared: () => SharedLane | null;
  private readonly recent = new RecentPrompts();
  private readonly answers = new RecentAnswers();
  private readonly adapters: Adapters;
  private readonly threads: number;
  private readonly outputs: number;
  private embedder: Embedder | undefined;
  private events: EngineEvent[] = [];
  private running = false;
  private closed = false;

  constructor(port: MessagePort, asked: EngineSettings) {
    this.port = port;
    this.llama = loadLlama({ gpu: asked.gpu });
    this.model = loadModel(this.llama, asked.model);
    const contextTokens = asked.contextTokens ?? Math.min(USUAL_CONTEXT, this.model.trainedContext);
    const fits = Math.floor(CACHE_BYTES / (this.model.cacheBytesPerToken * contextTokens));
    const parallel = asked.parallel ?? Math.max(1, Math.min(USUAL_PARALLEL, fits));
    this.threads = asked.threads || availableParallelism();
    this.outputs = parallel + MORE_OUTPUTS;
    this.context = new LlamaContext(this.llama, this.model, {
      contextTokens,
      sequences: parallel,
      threads: this.threads,
      batchTokens: BATCH_TOKENS,
      outputs: this.outputs,
    });
    this.batch = new Batch(this.llama, BATCH_TOKENS);
    this.bytes = new TokenBytes(this.llama, this.model);
    this.candidates = new Candidates(this.llama, this.model.vocabSize, this.bytes);
    this.adapters = new Adapters(this.llama, this.model);
    const settings = {
      vocabSize: this.model.vocabSize,
      canDraft: this.model.canCutBack,
      drafts: MORE_OUTPUTS,
      adapters: this.adapters.pointers,
    };
    const events: SchedulerEvents = {
      progressed: (generation) => this.report(generation),
      failed: (generation, error) => this.fault(generation.id, error),
      outgrown: (generation) => this.scheduler.add(generation),
    };
    const places = new OwnCaches(this.context, parallel);
    this.scheduler = new Scheduler(this.context, this.batch, places, settings, events);
    this.makeShared = () => {
      const { llama, model, batch, threads } = this;
      return SharedLane.open({ llama, model, batch, threads, contextTokens, parallel }, settings, events);
    };
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
    else if (message.type === 'cancel') this.cancel(message.id);
    else if (message.type === 'call')
      this.attempt(message.id, () => this.returned(message.id, this.call(message.call)));
    else this.close();
    this.flush();
  }

  private generate(id: number, request: GenerateRequest): void {
    this.attempt(id, () => {
      this.refuseHuge(request);
      const prompt = this.promptOf(request);
      const { contextTokens } = this.context;
      const labels = request.labels && this.labelsOf(request.labels);
      const room = contextTokens - prompt.length - (labels?.longest ?? 0);
      if (prompt.length === 0) throw new Refused('context_length_exceeded', 'the prompt is empty');
      if (room < 1) {
        const message = `the prompt has ${prompt.length} tokens; the context holds ${contextTokens}`;
        throw new Refused('context_length_exceeded', message);
      }
      if (request.adapter !== undefined) this.adapters.require(request.adapter);
      const sampler = new Sampler(this.llama, this.model, this.candidates, request.sampling);
      const bounded = { ...request, maxTokens: Math.min(request.maxTokens, room) };
      const next = (text: readonly number[]) => this.answers.next(request.adapter, text);
      const shared = { model: this.model, bytes: this.bytes, labels: labels?.walk, next };
      this.enqueue(new Generation(id, bounded, prompt, sampler, shared));
    });
  }

  private enqueue(generation: Generation): void {
    generation.sharedPrefix = this.recent.add(generation.prompt, generation.request.adapter);
    if (this.shared === undefined && isSharing(generation)) this.shared = this.makeShared();
    if (this.shared?.takes(generation)) this.shared.scheduler.add(generation);
    else this.scheduler.add(generation);
    if (!this.running) this.run();
  }

  private cancel(id: number): void {
    for (const scheduler of this.schedulers) scheduler.cancel(id);
  }

  private get schedulers(): Scheduler[] {
    return this.shared ? [this.scheduler, this.shared.scheduler] : [this.scheduler];
  }

  private get idle(): boolean {
    return this.schedulers.every((scheduler) => scheduler.idle);
  }

  private labelsOf(texts: string[]): { walk: LabelWalk; longest: number } {
    const labels = texts.map((text) => ({ text, tokens: tokenize(this.llama, this.model, text) }));
    const longest = Math.max(...labels.map(({ tokens }) => tokens.length));
    return { walk: new LabelWalk(labels, this.model.endIds), longest };
  }

  /** Steps until nothing is left to do, looking at messages between steps. */
  private run(): void {
    this.running = true;
    const step = () => {
      if (this.closed) return;
      try {
        for (const scheduler of this.schedulers) if (!scheduler.idle) scheduler.step();
      } catch (error) {
        this.send({ type: 'failed', message: (error as Error).message });
        throw error;
      }
      this.flush();
      if (this.idle) this.running = false;
      else setImmediate(step);
    };
    setImmediate(step);
  }

  private report(generation: Generation): void {
    const { id, request } = generation;
    const delta = request.stream ? generation.delta() : undefined;
    if (delta) this.events.push({ type: 'delta', id, delta });
    if (!generation.finish) return;
    if (!request.labels) this.answers.add(request.adapter, generation.prompt, generation.generated);
    this.events.push({ type: 'done', id, result: generation.result() });
  }

  /** To count the tokens of megabytes would keep others waiting for seconds. */
  private refuseHuge({ text = '', pieces = [] }: GenerateRequest): void {
    const { contextTokens } = this.context;
    const bytes = [text, ...pieces.map((piece) => piece.text)].reduce((sum, each) => sum + Buffer.byteLength(each), 0);
    if (bytes <= 64 * contextTokens) return;
    const least = Math.ceil(bytes / this.bytes.longest);
    if (least <= contextTokens) return;
    const message = `the prompt has at least ${least} tokens; the context holds ${contextTokens}`;
    throw new Refused('context_length_exceeded', message);
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
    if (call.kind === 'embed') return call.inputs.map((tokens) => this.embed(tokens));
    if (call.kind === 'loadAdapter') return this.adapters.load(call.name, call.path);
    if (call.kind === 'unloadAdapter') return this.unloadAdapter(call.name);
    if (call.kind === 'likelihoods') return this.likelihoods(call.prompt, call.continuations);
    return this.logits(call.tokens);
  }

  private embed(tokens: number[]): Float32Array {
    this.embedder ??= new Embedder(this.llama, this.model, this.threads);
    return this.embedder.embed(tokens);
  }

  private unloadAdapter(name: string): void {
    this.adapters.require(name);
    const inUse = this.schedulers.some((scheduler) => scheduler.uses(name));
    if (inUse) throw new Refused('bad_adapter', `the adapter '${name}' is in use`);
    for (const scheduler of this.schedulers) scheduler.forget(name);
    this.adapters.unload(name);
  }

  /** Logits of every token, for tests; only while nothing else runs. */
  private logits(tokens: number[]): Float32Array {
    if (!this.idle) throw new CupelError('the engine is busy');
    this.scheduler.clearAll();
    const { vocabSize } = this.model;
    const rows = new Float32Array(tokens.length * vocabSize);
    for (let from = 0; from < tokens.length; from += this.outputs) {
      const part = tokens.slice(from, from + this.outputs);
      this.batch.clear();
      for (const [at, token] of part.entries()) this.batch.add(token, from + at, 0, true);
      this.context.decode(this.batch);
      rows.set(this.context.logits(part.length), from * vocabSize);
    }
    this.scheduler.clearAll();
    return rows;
  }

  /** Only while nothing else runs. */
  private likelihoods(prompt: number[], continuations: number[][]): Likelihood[] {
    if (!this.idle) throw new CupelError('the engine is busy');
    const longest = prompt.length + Math.max(0, ...continuations.map((tokens) => tokens.length));
    if (prompt.length === 0) throw new Refused('context_length_exceeded', 'the prompt is empty');
    if (longest > this.context.contextTokens) {
      const message = `the prompt and its continuation have ${longest} tokens; the context holds ${this.context.contextTokens}`;
      throw new Refused('context_length_exceeded', message);
    }
    this.scheduler.clearAll();
    const { context, batch, outputs } = this;
    return likelihoods({ context, batch, outputs, vocabSize: this.model.vocabSize }, prompt, continuations);
  }

  private attempt(id: number, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.fault(id, error);
    }
  }

  private fault(id: number, error: unknown): void {
    const grammar = error instanceof CupelError && error.place.field === 'grammar';
    const code = error instanceof Refused ? error.code : grammar ? 'invalid_grammar' : 'engine_error';
    this.events.push({ type: 'fault', id, fault: { code, message: (error as Error).message } });
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
    this.embedder?.free();
    this.batch.free();
    this.shared?.free();
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
