// Makes the proof document from the manifests of an evaluation and what led to it, and the floors as judged.
import { basename } from 'node:path';
import type { Artifact } from '../../artifacts/store.ts';
import { CupelError } from '../../base/errors.ts';
import { evaluatedFacts } from '../evaluated.ts';
import { type LedgerOptions, makeLedger } from '../ledger.ts';
import { decide } from '../verdict.ts';
import type { Proof } from './proof.ts';

export interface ProofRun {
  /** Of the stages, as far as they are there, in their order; import and evaluate must be. */
  artifacts: readonly Artifact[];
  model: { path: string; bytes: number; sha256: string };
  floors: Proof['floors'];
  prices: LedgerOptions;
}

/** @throws CupelError when the evaluation was of another file, or its dataset is not there */
export function makeProof({ artifacts, model, floors, prices }: ProofRun): Proof {
  const evaluation = artifacts.findLast(({ manifest }) => manifest.stage === 'evaluate');
  const dataset = artifacts.find(({ manifest }) => manifest.key === evaluation?.manifest.inputs.dataset);
  if (evaluation && !dataset) {
    throw new CupelError('the dataset that it was evaluated on is not in this workspace', {
      place: { file: model.path },
      remedy:
        'run `cupel gate` in the workspace that holds what `cupel import` made, or import and evaluate in this one',
      exitCode: 2,
    });
  }
  if (!evaluation || !dataset || evaluation.manifest.inputs.model !== `sha256:${model.sha256}`) {
    throw new CupelError('this very file was not evaluated', {
      place: { file: model.path },
      remedy: 'run `cupel evaluate MODEL DATASET` in the same workspace',
      exitCode: 2,
    });
  }
  const evaluated = evaluatedFacts(evaluation);
  const ledger = makeLedger(artifacts, evaluated, prices);
  const broken = floors.filter((floor) => !floor.kept);
  const { verdict, reasons } = decide(evaluated, ledger, broken.map(describeBroken));
  const { machine, startedAt: evaluatedAt } = evaluation.manifest;
  return {
    format: 'cupel-proof-1',
    verdict,
    reasons,
    model: { name: basename(model.path), bytes: model.bytes, sha256: model.sha256 },
    data: { key: dataset.manifest.key, testHash: evaluated.testHash, files: filesOf(dataset) },
    quality: evaluated.quality,
    scorer: evaluated.scorer,
    basis: evaluated.basis,
    slices: evaluated.slices,
    contamination: evaluated.contamination,
    speed: evaluated.speed,
    cost: {
      studentPer1k: ledger.student.usdPer1k,
      teacherPer1k: ledger.teacher.usdPer1k,
      share: ledger.share,
      spent: ledger.spentUsd,
      machine: ledger.machine,
      teacher: ledger.teacher.models.map(({ model: name, price, estimated }) => ({ name, price, estimated })),
    },
    floors,
    looks: evaluated.looks,
    stages: artifacts.map(({ manifest: { stage, key, stageVersion, cupel } }) => ({
      stage,
      key,
      version: stageVersion,
      cupel,
    })),
    machine: { ...machine },
    evaluatedAt,
    madeAt: new Date().toISOString(),
  };
}

function filesOf({ manifest }: Artifact): Proof['data']['files'] {
  return Object.entries(manifest.files).map(([name, { bytes, sha256 }]) => ({ name, bytes, sha256 }));
}

function describeBroken({ name, wanted, found, n, note }: Proof['floors'][number]): string {
  const digits = (value: number) => (Number.isInteger(value) ? String(value) : value.toFixed(3));
  return `floor "${name}" is not kept: ${digits(found)}, the limit is ${digits(wanted)} (${n} items; ${note})`;
}
