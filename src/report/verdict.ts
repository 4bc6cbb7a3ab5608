// The verdict: "proven" needs enough quality, shown by enough items, and a cost that is known and small.
import type { Evaluated } from './evaluated.ts';
import { COST_LIMIT, type Ledger } from './ledger.ts';

/** Smallest lower bound of student/teacher quality. */
export const QUALITY_LIMIT = 0.95;
/** Even a faultless student is not proven on fewer items: 0.95^58 > 0.05. */
export const FEWEST_ITEMS = 59;

export interface Verdict {
  verdict: 'proven' | 'not proven';
  /** Plain sentences: what is missing, or what was shown. */
  reasons: string[];
}

/** `reservations`: further reasons against a proof (leaks between training and test, floors not kept). */
export function decide(evaluated: Evaluated, ledger: Ledger, reservations: readonly string[] = []): Verdict {
  const against = [...qualityReasons(evaluated), ...leakReasons(evaluated), ...costReasons(ledger), ...reservations];
  if (against.length > 0) return { verdict: 'not proven', reasons: against };
  const { quality } = evaluated;
  return {
    verdict: 'proven',
    reasons: [
      `with 95% confidence the student has at least ${floorPercent(quality.lower95)} of the teacher's quality (${quality.n} items)`,
      `it costs ${percent(ledger.share)} of what the teacher costs, with the machine fully used`,
      ...(ledger.teacher.estimated ? ["the teacher's tokens are a cautious estimate: its traffic has no usage"] : []),
    ],
  };
}

function qualityReasons({ quality }: Evaluated): string[] {
  if (quality.n === 0) return [`no item was scored: at least ${FEWEST_ITEMS} are needed`];
  if (quality.teacher === 0) return ['the teacher itself answered no item right, so there is nothing to compare with'];
  const reasons: string[] = [];
  if (quality.n < FEWEST_ITEMS) {
    reasons.push(`too few held-out items: ${quality.n}, and even a faultless student needs ${FEWEST_ITEMS}`);
  }
  if (quality.lower95 >= QUALITY_LIMIT) return reasons;
  const seen = `the student has ${percent(quality.ratio)} of the teacher's quality, with 95% confidence at least ${floorPercent(quality.lower95)}`;
  if (quality.needed === null)
    return [...reasons, `quality: ${seen}; more items would not make that 95%: train further`];
  return [
    ...reasons,
    `quality: ${seen}; about ${quality.needed} items like these would show 95%, here were ${quality.n}`,
  ];
}

function leakReasons({ contamination }: Evaluated): string[] {
  const leaked = contamination.nearDuplicates + contamination.passages;
  if (leaked === 0) return [];
  return [
    `${leaked} held-out items (nearly) stand in the training rows: import again with both files, which leaves them out`,
  ];
}

function costReasons(ledger: Ledger): string[] {
  const { teacher, share, machine } = ledger;
  if (teacher.models.length === 0 || !Number.isFinite(share)) return ['the cost could not be worked out'];
  const reasons: string[] = [];
  if (teacher.assumed) {
    const names = [...new Set(teacher.models.filter((entry) => entry.price.assumed).map((entry) => entry.model))];
    const who = names.includes('unknown')
      ? 'the rows do not name the teacher'
      : `no price is known for ${names.join(', ')}`;
    reasons.push(`${who}, so its cost is only assumed: give --teacher-model NAME or --teacher-price IN,OUT`);
  }
  if (machine.usdPerHour === 0) reasons.push('a machine that costs nothing is no price: give what an hour of it costs');
  if ((machine.speed ?? 1) !== 1)
    reasons.push('the speed of the machine is stated, not measured: evaluate on it, or leave out its ",x"');
  if (share >= COST_LIMIT) {
    reasons.push(`the student costs ${percent(share)} of what the teacher costs; the limit is ${percent(COST_LIMIT)}`);
  }
  return reasons;
}

/** Rounded down, so that 94.99% never reads as 95%. */
function floorPercent(share: number): string {
  return `${(Math.floor(share * 1000) / 10).toFixed(1)}%`;
}

/** `97.3%`; small shares keep two digits. */
export function percent(share: number): string {
  const value = share * 100;
  return `${Math.abs(value) < 1 ? value.toPrecision(2) : value.toFixed(1)}%`;
}
