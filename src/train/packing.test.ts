import { describe, expect, test } from 'vitest';
import { Random } from '../base/random.ts';
import { PADDING_SEGMENT, PREFIX_SEGMENT, packBatch, packLayout, placements, placeOnce } from './packing.ts';
import { groupByPrefix } from './prefix.ts';
import type { Sample } from './sample.ts';
import { type Packing, planChecking, planPacking } from './trainer.ts';

/** Conversations of two jobs with their own long system prompts, and one with none. */
function mixed(): Sample[] {
  const random = new Random(3);
  const draw = (n: number) => Array.from({ length: n }, () => 100 + random.below(50));
  const sample = (prompt: number[]): Sample => {
    const ids = [...prompt, ...draw(3 + random.below(10)), 7, 8, 9];
    return { ids: Int32Array.from(ids), answers: [{ start: ids.length - 3, end: ids.length }] };
  };
  const first = [1, ...draw(40)];
  const second = [1, ...draw(30)];
  return [...Array.from({ length: 20 }, (_, i) => sample(i % 2 ? first : second)), sample([1, 2])];
}

describe('prefix groups', () => {
  test('two jobs become two groups with their whole prompts, the odd one stands alone', () => {
    const samples = mixed();
    const groups = groupByPrefix(samples, 128);
    expect(groups.map((group) => group.prefix.length).sort((a, b) => a - b)).toEqual([1, 31, 41]);
    expect(groups.flatMap((group) => group.members).sort((a, b) => a - b)).toEqual(samples.map((_, i) => i));
    for (const { prefix, members } of groups) {
      for (const index of members) expect(samples[index].ids.slice(0, prefix.length)).toEqual(prefix);
    }
  });

  test('identical prompts leave the token that predicts the answer outside the prefix', () => {
    const ids = Int32Array.from([1, 2, 3, 4, 5]);
    const [group] = groupByPrefix(
      Array.from({ length: 4 }, () => ({ ids, answers: [{ start: 3, end: 5 }] })),
      64,
    );
    expect(group.prefix).toEqual(ids.slice(0, 2));
  });

  test('a prefix shared by few is not worth a batch of its own', () => {
    const samples = mixed().slice(0, 2);
    expect(groupByPrefix(samples, 4096)).toHaveLength(1);
  });
});

describe('packed batches', () => {
  const samples = mixed();
  const groups = groupByPrefix(samples, 64);
  const shape = packLayout(samples, groups, 64);

  test('every conversation keeps its tokens and positions, and predicts exactly its answer', () => {
    for (const placement of placeOnce(samples, groups, shape)) {
      const batch = packBatch(samples, groups, shape, placement, 'token');
      batch.members.forEach((index, number) => {
        const at = [...batch.segments.keys()].filter((i) => batch.segments[i] === number + 1);
        const prefix = [...batch.segments.keys()].filter((i) => batch.segments[i] === PREFIX_SEGMENT);
        const ids = [...prefix, ...at].map((i) => batch.ids[i]);
        expect(ids).toEqual([...samples[index].ids]);
        expect([...prefix, ...at].map((i) => batch.positions[i])).toEqual(ids.map((_, i) => i));
        const targets = [...batch.lossAt.keys()]
          .filter((i) => at.includes(batch.lossAt[i]))
          .map((i) => batch.targets[i]);
        expect(targets).toEqual([...samples[index].ids.slice(-3)]);
      });
      expect(batch.weights.reduce((a, b) => a + b)).toBeCloseTo(1, 5);
      expect(batch.tokens).toBe(batch.segments.filter((segment) => segment !== PADDING_SEGMENT).length);
    }
  });

  test('prompts as further targets: every own token is predicted once, answers alike, prompts at their weight', () => {
    for (const placement of placeOnce(samples, groups, shape)) {
      const plain = packBatch(samples, groups, shape, placement, 'token');
      const batch = packBatch(samples, groups, shape, placement, 'token', 0.25);
      const prefix = groups[placement.group].prefix.length;
      const answers = new Map([...plain.lossAt].map((at, i) => [at, plain.targets[i]]));
      let prompts = 0;
      batch.lossAt.forEach((at, i) => {
        const expected = answers.has(at) ? 1 : 0.25;
        if (!answers.has(at)) prompts++;
        expect(batch.targets[i]).toBe(answers.get(at) ?? batch.ids[at + 1]);
        expect(batch.weights[i] * batch.weight).toBeCloseTo(expected, 5);
        // the token that is predicted is of the same conversation
        if (!answers.has(at)) expect(batch.segments[at + 1]).toBe(batch.segments[at]);
      });
      expect(new Set(batch.lossAt).size).toBe(batch.lossAt.length);
      const own = batch.members.reduce((sum, index) => sum + samples[index].ids.length - prefix, 0);
      // the first own token is predicted from the shared prefix, unless it begins an answer
      expect(prompts + answers.size).toBe(own - batch.members.length);
      expect(batch.weights.reduce((a, b) => a + b)).toBeCloseTo(1, 5);
    }
  });

  test('validation sees every sample once', () => {
    const seen = placeOnce(samples, groups, shape).flatMap((placement) => placement.rows.flat());
    expect(seen.sort((a, b) => a - b)).toEqual(samples.map((_, i) => i));
  });

  test('validation of many small groups computes few positions, and still every sample once', () => {
    const pairs = Array.from({ length: 40 }, (_, i): Sample => {
      const question = Array.from({ length: 30 }, (_, k) => 100 + 50 * Math.floor(i / 4) + k);
      const ids = Int32Array.from([1, 2, ...question, 1000 + i, 1100 + i, 3]);
      return { ids, answers: [{ start: ids.length - 1, end: ids.length }] };
    });
    const computed = ({ samples, groups, layout }: Packing) =>
      placeOnce(samples, groups, layout).length * (layout.prefix + layout.rows * layout.length);
    const checking = planChecking(pairs, 64, 4);
    expect(computed(checking)).toBeLessThan(0.7 * computed(planPacking(pairs, 256)));
    const seen = placeOnce(pairs, checking.groups, checking.layout).flatMap(({ rows }) => rows.flat());
    expect(seen.sort((a, b) => a - b)).toEqual(pairs.map((_, i) => i));
  });

  test('the stream is a function of the seed, and serves all samples equally', () => {
    const take = (seed: number, n: number) => {
      const stream = placements(samples, groups, shape, seed);
      return Array.from({ length: n }, () => stream.next().value);
    };
    expect(take(1, 30)).toEqual(take(1, 30));
    expect(take(1, 30)).not.toEqual(take(2, 30));
    const counts = new Array<number>(samples.length).fill(0);
    for (const placement of take(1, 60)) for (const index of placement.rows.flat()) counts[index]++;
    const large = groups[0].members.map((index) => counts[index]);
    expect(Math.max(...large) - Math.min(...large)).toBeLessThanOrEqual(2);
  });

  test('answers weigh alike by conversation', () => {
    const two: Sample[] = [
      {
        ids: Int32Array.from([1, 2, 3, 4, 5, 6]),
        answers: [
          { start: 2, end: 3 },
          { start: 4, end: 6 },
        ],
      },
      { ids: Int32Array.from([1, 9, 3]), answers: [{ start: 2, end: 3 }] },
    ];
    const one = groupByPrefix(two, 64);
    const [placement] = placeOnce(two, one, packLayout(two, one, 64));
    const { weights } = packBatch(two, one, packLayout(two, one, 64), placement, 'conversation');
    expect([...weights].map((weight) => weight.toFixed(4)).sort()).toEqual(['0.1667', '0.1667', '0.1667', '0.5000']);
  });
});
