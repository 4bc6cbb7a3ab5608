// The stages as the command line calls them: inputs and options become an artifact's identity, the store does the rest.
import { join } from 'node:path';
import { type Artifact, runStage } from '../artifacts/store.ts';
import { sha256File } from '../base/hash.ts';
import type { Session } from './session.ts';

export type MadeArtifact = Artifact & { reused: boolean };

/** Runs one stage in the session's workspace and tells when its artifact was there already. */
export async function stage(
  session: Session,
  name: string,
  version: number,
  inputs: Record<string, string>,
  options: Record<string, unknown>,
  build: (folder: string) => Promise<Record<string, unknown>>,
): Promise<MadeArtifact> {
  session.signal.throwIfAborted();
  const artifact = await runStage({
    workspace: session.workspace,
    stage: name,
    stageVersion: version,
    inputs,
    options,
    build,
  });
  session.progress({ stage: name, message: `${artifact.reused ? 'already done' : 'done'}: ${artifact.path}` });
  return artifact;
}

/** Inputs that are files count by their content. */
export async function fileInput(path: string): Promise<string> {
  return `sha256:${await sha256File(path)}`;
}

export function fileOf(artifact: Artifact, name: string): string {
  return join(artifact.path, name);
}
