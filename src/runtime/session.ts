// The interface of everything that can run a graph, so that the reference interpreter and ONNX Runtime are interchangeable.
import type { Tensor } from '../graph/tensor.ts';

export type Tensors = Readonly<Record<string, Tensor>>;

/** A graph made ready to run. Inputs and outputs go by their names in the graph. */
export interface Session {
  /**
   * Runs the graph once.
   * @param feeds every input of the graph; the data is not copied and must not change while the run lasts
   * @param into buffers that outputs of known size are written into instead of fresh ones
   * @throws CupelError naming a missing or misfitting input
   */
  run(feeds: Tensors, into?: Tensors): Promise<Tensors>;
  close(): Promise<void>;
}

/** A session that may be told to write its profile out. */
export interface ProfiledSession extends Session {
  endProfiling(): void;
}
