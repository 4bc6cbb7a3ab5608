// `cupel demo`: the whole loop on the bundled support desk, ending with a served model that has answered a request.

import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { openArtifact } from '../artifacts/store.ts';
import { formatBytes } from '../base/duration.ts';
import { CupelError } from '../base/errors.ts';
import type { EvaluateFacts } from '../evaluate/evaluate.ts';
import { serve } from '../serve/serve.ts';
import { describeCascade } from './cascade.ts';
import { describeReport } from './report.ts';
import { type RunChoices, type RunResult, runChain, runOptions, serveCommand } from './run.ts';
import { type CommonOptions, print, type Session, withSession } from './session.ts';
import { formatTable } from './table.ts';

const EXAMPLE = new URL('../../examples/support-desk/', import.meta.url);
/** Leaves room for compressing, evaluating and serving within ten minutes on two cores. */
const DEMO_BUDGET = '5m';
const DEMO_CALIBRATION = 80 / 520;
const MESSAGE = 'hi, parcel from order wx 48213 came today and the vase inside is in a thousand pieces. what now??';

export function register(program: Command): void {
  const command = program
    .command('demo')
    .description('the whole loop on the bundled example: a support desk that turns messages into JSON')
    .addHelpText('after', '\nExample:\n  cupel demo --budget 3m');
  runOptions(command);
  command.setOptionValueWithSource('budget', DEMO_BUDGET, 'default');
  command.setOptionValueWithSource('calibrationShare', DEMO_CALIBRATION, 'default');
  command.setOptionValueWithSource('cascade', true, 'default');
  command.action((options: CommonOptions & RunChoices) =>
    withSession(options, async (session) => {
      const traffic = fileURLToPath(new URL('traffic.jsonl', EXAMPLE));
      const test = options.test ?? fileURLToPath(new URL('test.jsonl', EXAMPLE));
      const { result, report } = await runChain(session, traffic, { ...options, test });
      const asked = await askServer(session, result.model);
      print(session.json, { ...result, ...asked }, () =>
        [describeReport(report), describeTogether(result), describeFiles(result), describeRequest(result, asked)].join(
          '\n\n',
        ),
      );
    }),
  );
}

interface Asked {
  request: object;
  answer: string;
  seconds: number;
}

/** Starts the server on a free port, asks it one question over HTTP and stops it. */
async function askServer(session: Session, model: string): Promise<Asked> {
  const server = await serve({ model, host: '127.0.0.1', port: 0 });
  try {
    const [row] = readFileSync(new URL('test.jsonl', EXAMPLE), 'utf8').split('\n', 1);
    const { messages } = JSON.parse(row) as { messages: object[] };
    const request = {
      model: server.model,
      messages: [messages[0], { role: 'user', content: MESSAGE }],
      temperature: 0,
      max_tokens: 64,
    };
    const started = performance.now();
    const response = await fetch(`${server.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(request),
      signal: session.signal,
    });
    if (!response.ok) throw new CupelError(`the server answered ${response.status}: ${await response.text()}`);
    const body = (await response.json()) as { choices: { message: { content: string } }[] };
    return { request, answer: body.choices[0].message.content, seconds: (performance.now() - started) / 1000 };
  } finally {
    await server.close();
  }
}

/** What the student and its teacher do together. */
function describeTogether({ artifacts }: RunResult): string {
  const evaluated = openArtifact(artifacts.evaluate);
  const { cascade } = evaluated.manifest.facts as unknown as EvaluateFacts;
  return cascade ? describeCascade(evaluated, cascade) : '';
}

function describeFiles({ artifacts }: RunResult): string {
  const rows = Object.entries(artifacts).flatMap(([stage, path]) =>
    Object.entries(openArtifact(path).manifest.files).map(([name, { bytes }]) => [
      stage,
      `${path}/${name}`,
      formatBytes(bytes),
    ]),
  );
  return formatTable([['stage', 'file', 'size'], ...rows]);
}

function describeRequest(result: RunResult, { request, answer, seconds }: Asked): string {
  const { speed } = openArtifact(result.artifacts.evaluate).manifest.facts as EvaluateFacts;
  const body = JSON.stringify(request).replaceAll("'", "'\\''");
  return [
    `speed: ${speed.requestsPerSecond.toFixed(2)} requests/s and ${speed.outputTokensPerSecond.toFixed(0)} output tokens/s with ${speed.concurrency} at once`,
    `asked the server: ${MESSAGE}`,
    `it answered in ${seconds.toFixed(2)} s: ${answer}`,
    '',
    `Try it: start the server in one terminal,`,
    `  npx ${serveCommand(result)} --port 8080`,
    `and ask ${basename(result.model)} in another:`,
    `  curl -s http://127.0.0.1:8080/v1/chat/completions -H 'content-type: application/json' -d '${body}'`,
  ].join('\n');
}
