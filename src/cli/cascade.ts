// The cascade on the command line: its figures with money, and the file that `serve --teacher` reads.
import type { Artifact } from '../artifacts/store.ts';
import { sha256File } from '../base/hash.ts';
import { type CascadeFile, writeCascade } from '../chat/confidence.ts';
import type { CascadeFacts, FittedCascade } from '../evaluate/cascade/cascade.ts';
import type { CascadePoint } from '../evaluate/cascade/operating.ts';
import { costsPer1k } from '../report/plane.ts';
import { configFolder, signingKey, trustedKeys } from '../report/proof/keys.ts';
import { signatureHolds, signatureOf } from '../report/proof/proof.ts';
import { percent } from '../report/verdict.ts';
import { formatTable } from './table.ts';

/** Writes MODEL.gguf.cascade.json, signed with the user's own key. `leaked`: test items that stand in the training rows. */
export async function keepCascade(model: string, { agreement, ...facts }: CascadeFacts, leaked: number): Promise<void> {
  const sha256 = await sha256File(model);
  const more = agreement && { agreement: { samples: agreement.samples, ...kept(agreement) } };
  const content = { format: 1 as const, model: sha256, leaked, ...kept(facts), ...more };
  writeCascade(model, { ...content, signature: signatureOf(content, signingKey(configFolder(process.env))) });
}

/** Was it written by somebody whose proofs are believed, of a test that nothing was seen of? */
export function isBelieved({ signature, ...content }: CascadeFile): boolean {
  if (!signature || content.leaked !== 0 || !signatureHolds({ proof: content, signature })) return false;
  return trustedKeys(configFolder(process.env)).includes(signature.publicKey);
}

function kept({ calibration, point: { threshold, local, ratio, lower95, n } }: FittedCascade) {
  return { calibration, threshold, test: { local, ratio, lower95, n } };
}

/** Quality against the share answered locally and money, and the operating point. */
export function describeCascade(evaluated: Artifact, facts: CascadeFacts): string {
  const cost = costsPer1k(evaluated);
  const { agreement } = facts;
  const plain = describeFitted(facts, 'operating point', cost);
  if (!agreement) return plain;
  const { samples, extraTime } = agreement;
  const drawn = describeFitted(agreement, `with ${samples} further answers`, {
    ...cost,
    student: cost.student * (1 + extraTime),
  });
  const time = `drawing ${samples} further answers for each request takes ${extraTime.toFixed(1)} times the time of the answer itself`;
  return `${plain}\n${drawn}\n${time}; serve so with --agreement ${samples}`;
}

function describeFitted(
  { point, curve, calibrated, brier, reason }: FittedCascade,
  title: string,
  { student, teacher }: { student: number; teacher: number },
): string {
  const line = (name: string, { threshold, local, quality, ratio, lower95 }: CascadePoint) => [
    name,
    threshold === null ? 'never' : threshold.toFixed(3),
    percent(local),
    quality.toFixed(3),
    ratio.toFixed(3),
    lower95.toFixed(3),
    `$${(student + (1 - local) * teacher).toFixed(4)}`,
  ];
  return [
    formatTable([
      ['cascade', 'student from confidence', 'answered locally', 'quality', 'ratio', 'at least (95%)', 'per 1,000'],
      ...curve.map((each) => line('', each)),
      line(title, point),
    ]),
    `the operating point comes from ${calibrated} calibration items; the figures are of ${point.n} test items; Brier score ${brier.toFixed(3)}`,
    ...(reason ? [`note: the student answers nothing: ${reason}`] : []),
  ].join('\n');
}
