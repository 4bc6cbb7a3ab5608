// The whole loop as a program: recorded traffic in, a served model and a verdict out. The stages meet only through artifacts.
//   npx tsx examples/whole-loop.ts TRACES.jsonl [STUDENT] [WORKSPACE]
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Artifact, runStage } from '../src/artifacts/store.ts';
import { sha256File } from '../src/base/hash.ts';
import { resolveModel } from '../src/catalog/resolve.ts';
import { COMPRESS_VERSION, compress } from '../src/compress/compress.ts';
import { IMPORT_VERSION, importTraces } from '../src/curate/import.ts';
import { DISTILL_DEFAULTS, DISTILL_VERSION, type DistillOptions, distill } from '../src/distill/distill.ts';
import { EVALUATE_VERSION, evaluate } from '../src/evaluate/evaluate.ts';
import { openCheckpoint } from '../src/formats/checkpoint.ts';
import { REPORT_VERSION, type ReportFacts, report } from '../src/report/report.ts';
import { openCompleter } from '../src/serve/completer.ts';
import { serve } from '../src/serve/serve.ts';

export interface Loop {
  traces: string;
  /** A name of the catalog, a GGUF file or a Hugging Face folder. */
  student: string;
  workspace: string;
  training?: Partial<DistillOptions>;
}

export async function wholeLoop({ traces, student, workspace, training }: Loop) {
  type Build = (folder: string) => Promise<Record<string, unknown>>;
  const stage = (name: string, stageVersion: number, inputs: Record<string, string>, options: object, build: Build) =>
    runStage({ workspace, stage: name, stageVersion, inputs, options: { ...options }, build });

  const dataset = await stage('import', IMPORT_VERSION, { traces: await sha256File(traces) }, {}, (folder) =>
    importTraces({ traces, folder }),
  );

  const { path, sha256 } = await resolveModel(student);
  const options = { ...DISTILL_DEFAULTS, ...training };
  const from = { student: sha256, dataset: dataset.manifest.key };
  const adapter = await stage('distill', DISTILL_VERSION, from, options, (folder) =>
    distill({ dataset: dataset.path, student: path, options, folder }),
  );

  const types = ['q8_0'];
  const base = openCheckpoint(path);
  const parts = { student: sha256, adapter: adapter.manifest.key };
  const compressed = await stage('compress', COMPRESS_VERSION, parts, { types }, (folder) =>
    compress({ base, adapter: adapter.path, types, folder }),
  );
  const model = join(compressed.path, Object.keys(compressed.manifest.files).find((name) => name.endsWith('.gguf'))!);

  const countTokens = (text: string) => base.tokenizer.encode(text).length;
  const judged = { model: await sha256File(model), dataset: dataset.manifest.key };
  const evaluated = await stage('evaluate', EVALUATE_VERSION, judged, {}, async (folder) => {
    const completer = await openCompleter(model);
    return evaluate({ dataset: dataset.path, completer, countTokens, folder }).finally(completer.close);
  });
  base.close();

  const artifacts: Artifact[] = [dataset, adapter, compressed, evaluated];
  const last = { evaluation: evaluated.manifest.key };
  const page = await stage('report', REPORT_VERSION, last, {}, (folder) => report({ artifacts, folder }));
  return {
    model,
    verdict: page.manifest.facts as ReportFacts,
    server: await serve({ model, host: '127.0.0.1', port: 0 }),
  };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [traces, student = 'smollm2-135m-instruct', workspace = '.cupel'] = process.argv.slice(2);
  const { verdict, server } = await wholeLoop({ traces, student, workspace });
  console.log(`${verdict.verdict}: ${verdict.reasons.join('; ')}\nserved at ${server.url}`);
}
