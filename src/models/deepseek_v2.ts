// DeepSeek-V2: keys and values from one narrow latent (MLA), shared and routed experts, groups of experts, YaRN.
import type { Builder } from '../graph/builder.ts';
import type { Value } from '../graph/node.ts';
import { type Attend, attenders } from './attention.ts';
import { sequenceBalance, switchBalance } from './balance.ts';
import { ConfigFields } from './config-fields.ts';
import {
  addFeedForward,
  addLayerNorms,
  addProjection,
  type DecoderConfig,
  decoderHead,
  decoderShapes,
  EMBEDDING,
  gatedFeedForward,
  parseDecoder,
  residualStack,
  rmsNormOf,
  type WeightShapes,
} from './decoder.ts';
import { addExperts, chosenWeights, type Experts, routerScores, sparseExperts } from './experts.ts';
import { flattenTokens, joinHeads, splitHeads } from './heads.ts';
import type { ModelFamily, ModelInputs, Routing, Weights } from './model.ts';
import { parseRope, ropeTables, yarnSharpening } from './rope.ts';

export interface DeepseekV2Config extends DecoderConfig {
  /** Width of the queries' latent; null: queries come straight from the residual stream. */
  readonly queryRank: number | null;
  /** Width of the latent of keys and values. */
  readonly latent: number;
  /** n, r and v: a head's features without and with rotary positions, and of its values. */
  readonly plainSize: number;
  readonly rotarySize: number;
  readonly valueSize: number;
  readonly attentionBias: boolean;
  readonly mlpBias: boolean;
  readonly attentionScale: number;
  readonly experts: Experts;
  /** Layers before this one have a plain feed-forward layer. */
  readonly firstSparse: number;
  /** Width of the experts that every token meets, together. */
  readonly sharedWidth: number;
  /** Of so many groups of experts a token may choose from so many; null: from all. */
  readonly groups: { readonly count: number; readonly chosen: number } | null;
  readonly routedScale: number;
  readonly balanceWeight: number;
  readonly balancePerSequence: boolean;
}

/** The latents' norms have this, whatever the config says. */
const LATENT_EPSILON = 1e-6;

export const deepseekV2: ModelFamily<DeepseekV2Config> = {
  modelTypes: ['deepseek_v2'],
  parseConfig,

  weightShapes: (config) =>
    decoderShapes(config, (shapes, at, layer) => {
      const { hiddenSize: D } = config;
      addLayerNorms(shapes, at, D);
      addLatentAttention(shapes, `${at}.self_attn`, config);
      if (layer < config.firstSparse)
        return addFeedForward(shapes, `${at}.mlp`, D, config.intermediateSize, config.mlpBias);
      addExperts(shapes, at, D, config.experts);
      addFeedForward(shapes, `${at}.mlp.shared_experts`, D, config.sharedWidth, config.mlpBias);
    }),

  forward(b, config, inputs, weights, routings = []) {
    const { hiddenSize: D, vocabularySize: V, intermediateSize: F, mlpBias: bias } = config;
    const norm = rmsNormOf(b, weights, config.epsilon);
    const attend = attenders(b, inputs)(undefined);
    const embedded = b.gather(weights.weight(EMBEDDING, [V, D]), inputs.ids);
    const x_BSD = residualStack(b, config.layers, embedded, (at, layer) => [
      (x) => latentAttention(b, config, inputs, weights, norm(x, `${at}.input_layernorm`), `${at}.self_attn`, attend),
      (x) => {
        const h = norm(x, `${at}.post_attention_layernorm`);
        if (layer < config.firstSparse) return gatedFeedForward(b, weights, h, `${at}.mlp`, F, { bias });
        const shared = gatedFeedForward(b, weights, h, `${at}.mlp.shared_experts`, config.sharedWidth, { bias });
        return b.add(routedExperts(b, config, weights, h, at, routings), shared);
      },
    ]);
    return norm(inputs.wanted?.(x_BSD) ?? x_BSD, 'model.norm');
  },

  head: decoderHead,

  balance(b, config, routings, inputs) {
    const { perToken } = config.experts;
    const loss = config.balancePerSequence
      ? sequenceBalance(b, routings, inputs, perToken)
      : routings
          .map((routing) => b.scale(switchBalance(b, [routing], inputs), 1 / perToken))
          .reduce((x, y) => b.add(x, y));
    return b.scale(loss, config.balanceWeight);
  },
};

function parseConfig(json: unknown): DeepseekV2Config {
  const c = new ConfigFields(json);
  c.oneOf('hidden_act', ['silu'], 'silu');
  c.oneOf('scoring_func', ['softmax'], 'softmax');
  if (c.flag('norm_topk_prob', false)) throw c.wrong('norm_topk_prob', 'normed weights of experts are not supported');
  if (c.count('moe_layer_freq', 1) !== 1) throw c.wrong('moe_layer_freq', 'only 1 is supported');
  const rotarySize = c.count('qk_rope_head_dim');
  const plainSize = c.count('qk_nope_head_dim');
  const rope = parseRope(c, rotarySize);
  const scaling = c.has('rope_parameters')
    ? c.object('rope_parameters')
    : c.has('rope_scaling')
      ? c.object('rope_scaling')
      : null;
  const stretched = scaling !== null && rope.scaling.type !== 'default' ? scaling : null;
  const sharpening = stretched?.nonNegative('mscale_all_dim', 0)
    ? yarnSharpening(stretched.positive('factor'), stretched.positive('mscale_all_dim'))
    : 1;
  const width = c.count('moe_intermediate_size');
  return {
    ...parseDecoder(new ConfigFields({ ...(json as object), head_dim: rotarySize }), 'deepseek_v2', rope),
    queryRank: c.has('q_lora_rank') ? c.count('q_lora_rank') : null,
    latent: c.count('kv_lora_rank'),
    plainSize,
    rotarySize,
    valueSize: c.count('v_head_dim'),
    attentionBias: c.flag('attention_bias', false),
    mlpBias: c.flag('mlp_bias', false),
    attentionScale: (plainSize + rotarySize) ** -0.5 * sharpening ** 2,
    experts: {
      count: c.count('n_routed_experts'),
      perToken: c.count('num_experts_per_tok'),
      width,
      router: 'mlp.gate',
      prefix: 'mlp.experts',
      names: ['gate_proj', 'up_proj', 'down_proj'],
    },
    firstSparse: c.nonNegative('first_k_dense_replace', 0),
    sharedWidth: width * c.count('n_shared_experts'),
    groups: parseGroups(c),
    routedScale: c.positive('routed_scaling_factor', 1),
    balanceWeight: c.nonNegative('aux_loss_alpha', 0.001),
    balancePerSequence: c.flag('seq_aux', true),
  };
}

function parseGroups(c: ConfigFields): DeepseekV2Config['groups'] {
  if (c.oneOf('topk_method', ['greedy', 'group_limited_greedy'], 'greedy') === 'greedy') return null;
  const [count, chosen] = [c.count('n_group'), c.count('topk_group')];
  if (c.count('n_routed_experts') % count !== 0) throw c.wrong('n_group', 'must divide n_routed_experts');
  if (chosen > count) throw c.wrong('topk_group', `more than the ${count} groups`);
  return { count, chosen };
}

function addLatentAttention(shapes: WeightShapes, at: string, config: DeepseekV2Config): void {
  const { hiddenSize: D, heads, queryRank, latent, plainSize, rotarySize, valueSize, attentionBias } = config;
  const queries = heads * (plainSize + rotarySize);
  if (queryRank === null) addProjection(shapes, `${at}.q_proj`, queries, D);
  else {
    addProjection(shapes, `${at}.q_a_proj`, queryRank, D, attentionBias);
    shapes.set(`${at}.q_a_layernorm.weight`, [queryRank]);
    addProjection(shapes, `${at}.q_b_proj`, queries, queryRank);
  }
  addProjection(shapes, `${at}.kv_a_proj_with_mqa`, latent + rotarySize, D, attentionBias);
  shapes.set(`${at}.kv_a_layernorm.weight`, [latent]);
  addProjection(shapes, `${at}.kv_b_proj`, heads * (plainSize + valueSize), latent);
  addProjection(shapes, `${at}.o_proj`, D, heads * valueSize, attentionBias);
}

/** Multi-head latent attention (DeepSeek-V2, 2024, section 2.1) over h [B,S,D]; all heads share the rotary part of the keys. */
function latentAttention(
  b: Builder,
  config: DeepseekV2Config,
  { positions }: ModelInputs,
  weights: Weights,
  h_BSD: Value,
  at: string,
  attend: Attend,
): Value {
  const { heads, queryRank, latent, plainSize, rotarySize, valueSize, attentionBias } = config;
  const latentNorm = rmsNormOf(b, weights, LATENT_EPSILON);
  const project = (name: string, out: number, bias = false) => ({ name: `${at}.${name}`, out, bias });
  const queries = project(queryRank === null ? 'q_proj' : 'q_b_proj', heads * (plainSize + rotarySize));
  const narrow = project('kv_a_proj_with_mqa', latent + rotarySize, attentionBias);
  const [first, compressed] = weights.linear(h_BSD, [
    queryRank === null ? queries : project('q_a_proj', queryRank, attentionBias),
    narrow,
  ]);
  const q = queryRank === null ? first : weights.linear(latentNorm(first, `${at}.q_a_layernorm`), [queries])[0];
  const [latent_BSL, sharedKey] = b.split(compressed, 2, [latent, rotarySize]);
  const wide = weights.linear(latentNorm(latent_BSL, `${at}.kv_a_layernorm`), [
    project('kv_b_proj', heads * (plainSize + valueSize)),
  ])[0];
  const { cos, sin } = ropeTables(b, 'rope', config.rope, config.maxPositions, positions);
  const turn = (x: Value) => b.rope(x, positions, cos, sin, true);
  const [q_BHSn, q_BHSr] = b.split(splitHeads(b, q, heads), 3, [plainSize, rotarySize]);
  const [k_BHSn, v_BHSv] = b.split(splitHeads(b, wide, heads), 3, [plainSize, valueSize]);
  const k_BHSr = b.expandLike(turn(splitHeads(b, sharedKey, 1)), q_BHSr);
  const [q_BHSd, k_BHSd] = [b.concat([q_BHSn, turn(q_BHSr)], 3), b.concat([k_BHSn, k_BHSr], 3)];
  const o_BHSv = attend(q_BHSd, k_BHSd, v_BHSv, config.attentionScale);
  return weights.linear(joinHeads(b, o_BHSv), [project('o_proj', config.hiddenSize, attentionBias)])[0];
}

function routedExperts(
  b: Builder,
  config: DeepseekV2Config,
  weights: Weights,
  h_BSD: Value,
  at: string,
  routings: Routing[],
): Value {
  const { experts } = config;
  const scores = routerScores(b, weights, flattenTokens(b, h_BSD), at, experts);
  const routing = { scores, chosen: b.topMask(withinGroups(b, config, scores), experts.perToken) };
  routings.push(routing);
  const weights_NE = b.scale(chosenWeights(b, routing, false), config.routedScale);
  return sparseExperts(b, weights, h_BSD, at, experts, routing.chosen, weights_NE);
}

/** Zero outside the groups whose best expert scores highest. Only for choosing: it carries no gradient. */
function withinGroups(b: Builder, { experts, groups }: DeepseekV2Config, scores_NE: Value): Value {
  if (!groups) return scores_NE;
  const [rows] = scores_NE.shape;
  const grouped = b.reshape(scores_NE, [rows, groups.count, experts.count / groups.count]);
  const best = b.topMask(b.reduceMax(grouped, [-1]), groups.chosen);
  const zero = b.constant('zero', 'float32', [], () => new Float32Array(1));
  const kept = b.where(b.reshape(best, [rows, groups.count, 1]), grouped, zero);
  return b.reshape(kept, scores_NE.shape);
}
