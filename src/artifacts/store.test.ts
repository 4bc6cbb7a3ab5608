import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { CupelError } from '../base/errors.ts';
import { lockWorkspace } from './lock.ts';
import { listArtifacts, openArtifact, openChecked, runStage } from './store.ts';

const run = (workspace: string, build: (folder: string) => Promise<Record<string, unknown>>, options = {}) =>
  runStage({ workspace, stage: 'demo', stageVersion: 1, inputs: { a: 'x' }, options, build });
const workspaceFor = () => mkdtempSync(join(tmpdir(), 'cupel-store-'));

test('a stage runs once for the same inputs and options, and again for others', async () => {
  const workspace = workspaceFor();
  let calls = 0;
  const build = async (folder: string) => {
    writeFileSync(join(folder, 'out.txt'), `call ${++calls}`);
    return { calls };
  };
  const first = await run(workspace, build);
  const second = await run(workspace, build);
  const other = await run(workspace, build, { rank: 8 });
  expect([first.reused, second.reused, other.reused]).toEqual([false, true, false]);
  expect(second.path).toBe(first.path);
  expect(calls).toBe(2);
  expect(Object.keys(first.manifest.files)).toEqual(['out.txt']);
  expect(listArtifacts(workspace)).toHaveLength(2);
});

test('an interrupted stage finds its checkpoints again, and hidden files are not part of the artifact', async () => {
  const workspace = workspaceFor();
  await expect(
    run(workspace, async (folder) => {
      writeFileSync(join(folder, '.checkpoint'), 'step 7');
      throw new Error('killed');
    }),
  ).rejects.toThrow('killed');
  expect(listArtifacts(workspace)).toHaveLength(0);
  const done = await run(workspace, async (folder) => ({
    resumedFrom: readFileSync(join(folder, '.checkpoint'), 'utf8'),
  }));
  expect(done.manifest.facts).toEqual({ resumedFrom: 'step 7' });
  expect(existsSync(join(done.path, '.checkpoint'))).toBe(false);
});

test('energy is summed over interrupted attempts, and left out where one of them had no counters', async () => {
  const meter = (joules: number) => ({ read: () => joules });
  const work = (workspace: string, fail: boolean, energy?: { read: () => number }) =>
    runStage({
      workspace,
      stage: 'work',
      stageVersion: 1,
      inputs: {},
      options: {},
      meter: energy,
      build: async () => {
        if (fail) throw new Error('killed');
        return {};
      },
    });
  const measured = workspaceFor();
  await expect(work(measured, true, meter(5))).rejects.toThrow('killed');
  expect((await work(measured, false, meter(7))).manifest.joules).toBe(12);
  const partly = workspaceFor();
  await expect(work(partly, true, { read: () => Number.NaN })).rejects.toThrow('killed');
  expect((await work(partly, false, meter(7))).manifest.joules).toBeUndefined();
});

test('a damaged manifest is named', async () => {
  const workspace = workspaceFor();
  const { path } = await run(workspace, async () => ({}));
  writeFileSync(join(path, 'manifest.json'), '{');
  expect(() => openArtifact(path)).toThrow(CupelError);
});

test('a file that was changed, cut or removed since is named', async () => {
  const workspace = workspaceFor();
  const { path } = await run(workspace, async (folder) => {
    writeFileSync(join(folder, 'rows.jsonl'), 'abc');
    return {};
  });
  expect((await openChecked(path)).path).toBe(path);
  for (const change of ['abd', 'ab']) {
    writeFileSync(join(path, 'rows.jsonl'), change);
    await expect(openChecked(path)).rejects.toMatchObject({ place: { file: join(path, 'rows.jsonl') } });
  }
  rmSync(join(path, 'rows.jsonl'));
  await expect(openChecked(path)).rejects.toThrow('gone');
});

test('a workspace is taken by one process, and a dead holder is forgotten', () => {
  const workspace = workspaceFor();
  writeFileSync(join(workspace, '.lock'), '1');
  expect(() => lockWorkspace(workspace)).toThrow(/process 1/);
  writeFileSync(join(workspace, '.lock'), '999999999');
  const release = lockWorkspace(workspace);
  release();
  expect(existsSync(join(workspace, '.lock'))).toBe(false);
});
