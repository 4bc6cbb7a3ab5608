// What the gate knows about texts from other stages: refusals, languages, secrets and personal data.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isRefusal } from '../curate/faults.ts';
import { languageOf } from '../curate/language.ts';
import type { Detectors } from '../evaluate/floors.ts';
import { cards } from '../record/redact/cards.ts';
import { chineseIds } from '../record/redact/chinese-id.ts';
import { emails } from '../record/redact/emails.ts';
import { phones } from '../record/redact/phones.ts';
import { secrets } from '../record/redact/secrets.ts';

/** @param dataset folder whose splits the student may have seen */
export function detectorsFor(dataset: string | undefined): Detectors {
  const finders = [secrets, emails, chineseIds, cards, phones(['CN', 'US'])];
  let seen: string[] | undefined;
  return {
    isRefusal,
    languageOf,
    secretsIn: (text) =>
      finders.flatMap(({ hint, find }) =>
        hint.test(text) ? [...find(text)].map(({ start, end }) => text.slice(start, end)) : [],
      ),
    wasSeen: (text) => {
      seen ??= readSplits(dataset);
      // as it stands within a JSON string
      const written = JSON.stringify(text).slice(1, -1);
      return seen.some((split) => split.includes(written));
    },
  };
}

function readSplits(dataset: string | undefined): string[] {
  if (dataset === undefined) return [];
  return ['train', 'calibration', 'test']
    .map((name) => join(dataset, `${name}.jsonl`))
    .filter((file) => existsSync(file))
    .map((file) => readFileSync(file, 'utf8'));
}
