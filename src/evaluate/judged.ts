// Items scored by a judge in place of a rule: an answer counts where the other is not better.
import { CupelError } from '../base/errors.ts';
import { readJsonl } from '../base/jsonl.ts';
import type { Completer } from '../chat/completer.ts';
import type { ScoredItem } from './evaluate.ts';
import { type JudgeItem, type JudgeResult, type JudgeTokens, judgePairs, type Preference } from './judge.ts';
import { normalise } from './scorers/scorer.ts';

export interface JudgeSetup {
  completer: Completer;
  /** JSON lines; what was asked once is not asked again, by other evaluations neither. */
  cacheFile: string;
  /** By item: whom a person prefers. */
  labels?: ReadonlyMap<string, Preference>;
}

export interface JudgeFacts {
  name: string;
  /** Items where student and teacher say the same; nobody is asked about them. */
  same: number;
  judged: number;
  preferred: Record<Preference, number>;
  /** Judged differently with the positions swapped: no evidence for the student, so they count against it. */
  unsure: number;
  /** For the ledger. */
  tokens: JudgeTokens;
  /** Cohen's kappa with people's labels. */
  agreement: JudgeResult['agreement'];
}

export const JUDGE_DESCRIPTION =
  'a judge, asked twice with the positions swapped, does not find the other answer better';

/** The items with the judge's scores in place of the rule's. */
export async function judgeItems(
  items: readonly ScoredItem[],
  hasReference: boolean,
  { completer, cacheFile, labels }: JudgeSetup,
  signal?: AbortSignal,
): Promise<{ items: ScoredItem[]; facts: JudgeFacts }> {
  const differ = items.filter((item) => normalise(item.student) !== normalise(item.teacher));
  const asked = differ.map(
    ({ id, asked, student, teacher, expected }): JudgeItem => ({
      id,
      asked,
      student,
      teacher,
      ...(hasReference ? { reference: expected } : {}),
      ...(labels?.has(id) ? { human: labels.get(id)! } : {}),
    }),
  );
  const { judgements, unsure, agreement, tokens } = await judgePairs({
    judge: completer,
    items: asked,
    cacheFile,
    signal,
  });
  const byId = new Map(judgements.map((judgement) => [judgement.id, judgement]));
  const preferred = { student: 0, teacher: 0, tie: 0 };
  for (const { preference } of judgements) preferred[preference]++;
  const scored = items.map((item): ScoredItem => {
    const { fields: _fields, label: _label, ...plain } = item;
    const judgement = byId.get(item.id);
    const preference = judgement?.preference ?? 'tie';
    const lost = item.error !== undefined || preference === 'teacher' || judgement?.unsure === true;
    return {
      ...plain,
      studentScore: lost ? 0 : 1,
      teacherScore: preference === 'student' && !lost ? 0 : 1,
      ...(judgement ? { judgement: { preference, unsure: judgement.unsure, rationales: judgement.rationales } } : {}),
    };
  });
  const same = items.length - differ.length;
  return {
    items: scored,
    facts: { name: completer.name, same, judged: differ.length, preferred, unsure, tokens, agreement },
  };
}

/** Lines `{"id": "…", "prefers": "student" | "teacher" | "tie"}`. @throws CupelError for another line */
export async function readHumanLabels(file: string): Promise<Map<string, Preference>> {
  const rows = await readJsonl<{ id?: unknown; prefers?: unknown }>(file);
  return new Map(
    rows.map(({ id, prefers }, i) => {
      if (typeof id === 'string' && (prefers === 'student' || prefers === 'teacher' || prefers === 'tie'))
        return [id, prefers];
      throw new CupelError('not a label', {
        place: { file, line: i + 1 },
        remedy: 'write {"id": "ITEM", "prefers": "student"}, or "teacher", or "tie"',
        exitCode: 2,
      });
    }),
  );
}
