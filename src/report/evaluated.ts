// What the report reads of the evaluate stage's facts; the stages share no code, only what their manifests say.
import { z } from 'zod';
import type { Artifact } from '../artifacts/store.ts';
import { CupelError } from '../base/errors.ts';

const Interval = z.object({ lower: z.number(), upper: z.number() });

const Asked = z.looseObject({
  model: z.string(),
  requests: z.number(),
  promptTokens: z.number(),
  cachedTokens: z.number(),
  completionTokens: z.number(),
  estimated: z.boolean(),
});

export const Evaluated = z.looseObject({
  scorer: z.string(),
  scorerDescription: z.string(),
  basis: z.enum(['reference', 'teacher']),
  quality: z.looseObject({
    student: z.number(),
    teacher: z.number(),
    ratio: z.number(),
    lower95: z.number(),
    n: z.number(),
    studentInterval: Interval,
    teacherInterval: Interval,
    needed: z.number().nullable(),
  }),
  speed: z.looseObject({
    concurrency: z.number(),
    busySeconds: z.number(),
    requestsPerSecond: z.number(),
    outputTokensPerSecond: z.number(),
    secondsP50: z.number(),
    secondsP95: z.number(),
  }),
  judge: z
    .looseObject({
      name: z.string(),
      tokens: z.object({
        requests: z.number(),
        promptTokens: z.number(),
        cachedTokens: z.number(),
        completionTokens: z.number(),
      }),
    })
    .optional(),
  student: z.looseObject({ name: z.string(), requests: z.number(), failed: z.number() }),
  teacher: z.array(Asked),
  /** Of the rows that were learned from; evaluations of earlier versions do not say. */
  taught: z.array(Asked).optional(),
  fields: z.record(z.string(), z.number()),
  confusions: z.array(z.object({ expected: z.string(), predicted: z.string(), count: z.number() })),
  slices: z.array(
    z.object({ tag: z.string(), value: z.string(), n: z.number(), student: z.number(), teacher: z.number() }),
  ),
  contamination: z.looseObject({ nearDuplicates: z.number(), passages: z.number() }),
  looks: z.number(),
  testHash: z.string(),
  cascade: z
    .looseObject({ point: z.looseObject({ local: z.number(), quality: z.number(), n: z.number() }) })
    .optional(),
  notes: z.array(z.string()),
});
export type Evaluated = z.infer<typeof Evaluated>;

export const ScoredLine = z.looseObject({
  id: z.string(),
  asked: z.string(),
  expected: z.string(),
  student: z.string(),
  teacher: z.string(),
  studentScore: z.number(),
  teacherScore: z.number(),
});
export type ScoredLine = z.infer<typeof ScoredLine>;

/** @throws CupelError when the artifact was made by another version */
export function evaluatedFacts(artifact: Artifact): Evaluated {
  const parsed = Evaluated.safeParse(artifact.manifest.facts);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new CupelError(`the evaluation has facts that this version does not understand: ${issue.message}`, {
    place: { file: artifact.path, field: `facts.${issue.path.join('.')}` },
    remedy: 'delete the folder and rerun the stage',
  });
}
