// All scorers by name; the first that suits the expected answers is chosen.
import { CupelError } from '../../base/errors.ts';
import { choice } from './choice.ts';
import { chrf } from './chrf.ts';
import { exact } from './exact.ts';
import { f1 } from './f1.ts';
import { json } from './json.ts';
import { label } from './label.ts';
import { normalised } from './normalised.ts';
import { numeric } from './numeric.ts';
import { regex } from './regex.ts';
import { rougeL } from './rouge.ts';
import type { Scorer } from './scorer.ts';

export type ScorerName =
  | 'json'
  | 'label'
  | 'exact'
  | 'normalised'
  | 'choice'
  | 'f1'
  | 'rouge-l'
  | 'chrf'
  | 'numeric'
  | 'regex';

/** In the order in which they are tried. */
export const scorers: { [N in ScorerName]: Scorer } = {
  json,
  label,
  exact,
  normalised,
  choice,
  f1,
  'rouge-l': rougeL,
  chrf,
  numeric,
  regex,
};

export function isScorerName(name: string): name is ScorerName {
  return Object.hasOwn(scorers, name);
}

/** @throws CupelError for an unknown name */
export function chooseScorer(name: string, expected: readonly string[]): ScorerName {
  if (name !== 'auto' && isScorerName(name)) return name;
  const names = Object.keys(scorers) as ScorerName[];
  if (name === 'auto')
    return names.find((candidate) => expected.length > 0 && scorers[candidate].suits(expected)) ?? 'exact';
  throw new CupelError(`there is no scorer "${name}"`, {
    place: { field: '--scorer' },
    remedy: `choose one of: auto, judge, ${names.join(', ')}`,
    exitCode: 2,
  });
}
