// Watching live traffic: a confidence sequence of the quality ratio, valid however often and whenever one looks.
// Betting against "the ratio is r": Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", 2024.

const LOWEST = 0.5;
const STEP = 0.005;
const RATIOS = Array.from({ length: 131 }, (_, i) => LOWEST + i * STEP);

/** The state of one wager: against "mean(student) <= r * mean(teacher)" (up), or against ">=" (down). Plain JSON. */
interface Wager {
  logCapital: number;
  best: number;
  /** Sums of the excess and its square, for the next stake. */
  sum: number;
  squares: number;
}

export interface SequenceState {
  seen: number;
  up: Wager[];
  down: Wager[];
}

/** Adds paired scores one by one; at any time the bounds hold with the confidence given (each side). */
export class RatioSequence {
  readonly confidence: number;
  state: SequenceState;

  constructor(confidence = 0.95, state?: SequenceState) {
    this.confidence = confidence;
    const fresh = (): Wager[] => RATIOS.map(() => ({ logCapital: 0, best: 0, sum: 0, squares: 0 }));
    this.state = state ?? { seen: 0, up: fresh(), down: fresh() };
  }

  /** Scores of one item, both in [0, 1]. */
  add(student: number, teacher: number): void {
    const { state } = this;
    state.seen++;
    RATIOS.forEach((r, i) => {
      const excess = student - r * teacher;
      // the excess is at least -r, and at most 1: stakes that can never lose everything
      this.play(state.up[i], excess, 0.75 / r);
      this.play(state.down[i], -excess, 0.75);
    });
  }

  private play(wager: Wager, excess: number, mostStake: number): void {
    const n = this.state.seen;
    const mean = wager.sum / n;
    const variance = (wager.squares + 0.25) / n - mean * mean;
    // only what was seen before may set the stake
    const cautious = Math.sqrt((2 * Math.log(1 / (1 - this.confidence))) / (variance * n * Math.log(1 + n)));
    const stake = Math.min(mostStake, cautious);
    wager.logCapital += Math.log1p(stake * excess);
    wager.best = Math.max(wager.best, wager.logCapital);
    wager.sum += excess;
    wager.squares += excess * excess;
  }

  /** Ratios not refuted so far; `lower` 0 or `upper` Infinity while nothing is known on that side. */
  bounds(): { lower: number; upper: number } {
    const won = (wager: Wager) => wager.best >= Math.log(1 / (1 - this.confidence));
    const lower = this.state.up.findLastIndex(won);
    const upper = this.state.down.findIndex(won);
    return {
      lower: lower < 0 ? 0 : RATIOS[lower],
      upper: upper < 0 ? Number.POSITIVE_INFINITY : RATIOS[upper],
    };
  }
}
