// The judge's options: what is missing is named, the key comes from the environment, and endpoint and model make another evaluation.
import { expect, test, vi } from 'vitest';
import { openJudge } from './judge.ts';

const given = { judgeUrl: 'http://127.0.0.1:9/v1', judgeModel: 'm' };

test('endpoint, model and the key it was told of are needed', async () => {
  await expect(openJudge('ws', {})).rejects.toThrow(/endpoint and a model/);
  await expect(openJudge('ws', { ...given, judgeUrl: 'nowhere' })).rejects.toThrow(/not a URL/);
  await expect(openJudge('ws', { ...given, judgeKeyEnv: 'CUPEL_NO_SUCH_KEY' })).rejects.toThrow(/is not set/);
});

test('identity names endpoint and model, never the key', async () => {
  vi.stubEnv('CUPEL_TEST_KEY', 'sk-secret');
  const judge = await openJudge('ws', { ...given, judgeKeyEnv: 'CUPEL_TEST_KEY' });
  vi.unstubAllEnvs();
  expect(judge.identity).toEqual({ judge: 'm at 127.0.0.1:9' });
  expect(JSON.stringify([judge.identity, judge.inputs, judge.setup.cacheFile])).not.toMatch(/secret/);
});
