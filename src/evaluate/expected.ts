// The answer that a prediction is compared with: the reference, or what the teacher said.
import { answerOf, type Example } from '../chat/messages.ts';

/** The teacher's answer as text; of an answer that only calls tools, the calls as JSON. */
export function expectedAnswer(example: Example): string {
  const text = answerOf(example);
  const calls = example.messages[example.messages.length - 1].tool_calls ?? [];
  if (text.trim() !== '' || calls.length === 0) return text;
  const plain = calls.map((call) => ({ name: call.function.name, arguments: parsed(call.function.arguments) }));
  return JSON.stringify(plain.length === 1 ? plain[0] : plain);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

export type Basis = 'reference' | 'teacher';

/** Scored against references where at least four fifths of the items have one; else student against teacher. */
export function basisOf(examples: readonly Example[]): Basis {
  const known = examples.filter((example) => example.reference !== undefined).length;
  return examples.length > 0 && known >= 0.8 * examples.length ? 'reference' : 'teacher';
}

/** What is right for this item, or undefined where the basis is references and it has none. */
export function rightAnswer(example: Example, basis: Basis): string | undefined {
  return basis === 'reference' ? example.reference : expectedAnswer(example);
}
