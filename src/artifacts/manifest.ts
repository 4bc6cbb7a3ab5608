// The manifest of an artifact: where it came from and what it cost. The report reads nothing else.
import { z } from 'zod';

export const Machine = z.object({
  cpu: z.string(),
  cores: z.number(),
  memoryBytes: z.number(),
  platform: z.string(),
  node: z.string(),
});
export type Machine = z.infer<typeof Machine>;

export const Manifest = z.object({
  /** Format of this file. */
  format: z.literal(1),
  stage: z.string(),
  /** Hash of stage, its version, inputs and options: the artifact's identity. */
  key: z.string(),
  stageVersion: z.number(),
  cupel: z.string(),
  /** Name of input -> key of an artifact or SHA-256 of a file. */
  inputs: z.record(z.string(), z.string()),
  options: z.record(z.string(), z.unknown()),
  startedAt: z.string(),
  /** Seconds of work over all attempts, interrupted ones included. */
  seconds: z.number(),
  /** Measured by the processor's counters, of all attempts; left out where there are none. The machine's other work is in it. */
  joules: z.number().nonnegative().optional(),
  machine: Machine,
  /** Files of the artifact, relative to its folder. */
  files: z.record(z.string(), z.object({ bytes: z.number(), sha256: z.string() })),
  /** What the stage wants known: counts, tokens, losses, quality, energy, money. */
  facts: z.record(z.string(), z.unknown()),
});
export type Manifest = z.infer<typeof Manifest>;
