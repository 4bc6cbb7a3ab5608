// `cupel curate`: recorded conversations in, those worth learning from out, and a list of the rest with reasons.
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { CURATE_VERSION, type CurateFacts, type CurateOptions, curate } from '../curate/curate.ts';
import { integerOption, numberOption } from './numbers.ts';
import { type CommonOptions, commonOptions, print, withSession } from './session.ts';
import { fileInput, fileOf, type MadeArtifact, stage } from './stages.ts';

interface CurateChoices {
  maxCharacters?: number;
  nearDuplicate?: number;
  contradictions?: 'flag' | 'drop';
  balance?: number;
}

export function register(program: Command): void {
  const command = program
    .command('curate')
    .description(
      'drop duplicates, refusals and cut-off answers, flag contradictions, tell lengths, languages and balance',
    )
    .argument(
      '<traces>',
      'JSON lines, a JSON list, CSV or Parquet: OpenAI chat, ShareGPT, Alpaca, batches, logs, recordings',
    )
    .option('--near-duplicate <share>', 'likeness (Jaccard) from which two rows count as one', numberOption(0.3, 1))
    .option('--contradictions <what>', 'flag or drop rows that answer one question differently', flagOrDrop)
    .option('--balance <ratio>', 'at most this many times the rows of the median answer', numberOption(1))
    .option('--max-characters <n>', 'longest conversation taken', integerOption(1))
    .addHelpText(
      'after',
      '\nExample:\n  cupel curate traces.jsonl\n  cupel import .cupel/artifacts/curate-…/dataset.jsonl',
    );
  commonOptions(command).action((traces: string, choices: CommonOptions & CurateChoices) =>
    withSession(choices, async (session) => {
      const options = chosen(choices);
      const inputs = { traces: await fileInput(traces) };
      const artifact = await stage(session, 'curate', CURATE_VERSION, inputs, { ...options }, (folder) =>
        curate({ traces: resolve(traces), folder, options, progress: session.progress }),
      );
      print(session.json, { artifact: artifact.path, ...artifact.manifest.facts }, () => describeCuration(artifact));
    }),
  );
}

function chosen({ maxCharacters, nearDuplicate, contradictions, balance }: CurateChoices): Partial<CurateOptions> {
  return Object.fromEntries(
    Object.entries({ maxCharacters, nearDuplicate, contradictions, balance }).filter(
      ([, value]) => value !== undefined,
    ),
  );
}

function flagOrDrop(text: string): 'flag' | 'drop' {
  if (text === 'flag' || text === 'drop') return text;
  throw new InvalidArgumentError('flag or drop is needed.');
}

/** Counts and where the lists are, for a person. */
function describeCuration(artifact: MadeArtifact): string {
  const facts = artifact.manifest.facts as CurateFacts;
  const { statistics, balance, contradictions } = facts;
  const list = (counts: Partial<Record<string, number>>) =>
    Object.entries(counts)
      .sort((a, b) => (b[1] ?? 0) - (a[1] ?? 0))
      .slice(0, 8)
      .map(([name, count]) => `${name} ${count}`)
      .join(', ');
  const lengths = ({ median, p95, most }: CurateFacts['statistics']['answerLength']) =>
    `median ${median}, 95% up to ${p95}, longest ${most} characters`;
  return [
    `${facts.kept} of ${facts.rows} rows kept: ${fileOf(artifact, 'dataset.jsonl')}`,
    ...Object.entries(facts.reasons).map(([reason, count]) => `  dropped: ${count} x ${reason}`),
    facts.dropped > 0 ? `  each with its reason: ${fileOf(artifact, 'drops.jsonl')}` : '',
    contradictions.questions > 0
      ? `  ${contradictions.questions} questions got different answers (${contradictions.rows} rows): ${fileOf(artifact, 'flags.jsonl')}`
      : '',
    facts.languageMismatch > 0 ? `  ${facts.languageMismatch} answers are in another language than their question` : '',
    `questions: ${lengths(statistics.questionLength)}; ${list(statistics.questionLanguage)}`,
    `answers: ${lengths(statistics.answerLength)}; ${list(statistics.answerLanguage)}`,
    balance.most > 0
      ? `${Object.keys(balance.counts).length} labels, the most frequent ${balance.most} rows, the median ${balance.median}: ${list(balance.counts)}`
      : '',
    artifact.path,
  ]
    .filter(Boolean)
    .join('\n');
}
