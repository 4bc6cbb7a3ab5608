// Agreement as one more sign of being right: further answers are drawn for each item and compared with the first.
import { AGREEMENT_TEMPERATURE, agreementOf } from '../../chat/confidence.ts';
import { type Answer, busySeconds } from '../answers.ts';

/** Answers all items once more; the file keeps what was answered. */
export type Draw = (file: string, sampling: { temperature: number; seed: number }) => Promise<Answer[]>;

/** @returns the answers with the agreement among their signals, and the time of drawing as a multiple of that of answering */
export async function withAgreement(
  answers: readonly Answer[],
  samples: number,
  name: string,
  draw: Draw,
): Promise<{ answers: Answer[]; extraTime: number }> {
  const draws: Answer[][] = [];
  for (let seed = 1; seed <= samples; seed++)
    draws.push(await draw(`${name}-${seed}.jsonl`, { temperature: AGREEMENT_TEMPERATURE, seed }));
  const time = draws.reduce((sum, each) => sum + busySeconds(each), 0);
  return { answers: answers.map((answer, i) => agreeing(answer, draws, i)), extraTime: time / busySeconds(answers) };
}

function agreeing(answer: Answer, draws: readonly Answer[][], at: number): Answer {
  if (!answer.signals) return answer;
  const others = draws.map((each) => each[at].text);
  return { ...answer, signals: { ...answer.signals, agreement: agreementOf(answer.text, others) } };
}
