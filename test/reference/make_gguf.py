"""Makes fixtures/gguf-*.safetensors: tiny random models of every family with weights that float16 holds exactly, and transformers' logits.

Usage: python make_gguf.py OUTPUT_FOLDER   (needs torch, transformers, safetensors; the fixtures were made with transformers 5.23)
Names and shapes of the weights are those that save_pretrained writes. Sequences are longer than Gemma's window and YaRN's length.
"""
import json
import sys
import tempfile
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import (
    DeepseekV2Config, DeepseekV2ForCausalLM, Gemma3ForCausalLM, Gemma3TextConfig, MixtralConfig, MixtralForCausalLM, Qwen2Config,
    Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM, Qwen3MoeConfig, Qwen3MoeForCausalLM,
)

BASE = dict(vocab_size=97, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            max_position_embeddings=256, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2, pad_token_id=0, attn_implementation="eager")
YARN = dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=16, beta_fast=32, beta_slow=1)
LATENT = dict(BASE, num_key_value_heads=4, kv_lora_rank=16, qk_nope_head_dim=8, qk_rope_head_dim=8, v_head_dim=16, n_routed_experts=4,
              n_shared_experts=1, num_experts_per_tok=2, moe_intermediate_size=16, first_k_dense_replace=1, topk_method="greedy",
              n_group=1, topk_group=1, rope_parameters=dict(YARN, mscale=0.707, mscale_all_dim=0.707))
CASES = {
    "qwen2": (Qwen2Config(**BASE, tie_word_embeddings=False, rope_parameters=YARN), Qwen2ForCausalLM),
    "qwen3": (Qwen3Config(**BASE, head_dim=16, tie_word_embeddings=True), Qwen3ForCausalLM),
    "gemma3": (Gemma3TextConfig(**dict(BASE, num_hidden_layers=7), head_dim=16, sliding_window=8, query_pre_attn_scalar=16),
               Gemma3ForCausalLM),
    "gemma3-pattern": (Gemma3TextConfig(**dict(BASE, num_hidden_layers=3), head_dim=16, sliding_window=8, query_pre_attn_scalar=16,
                                        layer_types=["sliding_attention", "full_attention", "sliding_attention"]), Gemma3ForCausalLM),
    "mixtral": (MixtralConfig(**BASE, num_local_experts=4, num_experts_per_tok=2), MixtralForCausalLM),
    "qwen3-moe": (Qwen3MoeConfig(**BASE, head_dim=16, moe_intermediate_size=16, num_experts=4, num_experts_per_tok=2,
                                 norm_topk_prob=True, decoder_sparse_step=1), Qwen3MoeForCausalLM),
    "deepseek": (DeepseekV2Config(**LATENT, q_lora_rank=16, routed_scaling_factor=1.5), DeepseekV2ForCausalLM),
    # llama.cpp knows the variant without a query rank by its 27 layers
    "deepseek-lite": (DeepseekV2Config(**dict(LATENT, num_hidden_layers=27, hidden_size=16, intermediate_size=16, vocab_size=40,
                                              num_attention_heads=2, num_key_value_heads=2, moe_intermediate_size=8),
                                       q_lora_rank=None), DeepseekV2ForCausalLM),
}


PROMPT, GENERATED = 12, 64
"""Least distance of the two best logits, as a share of the largest: llama.cpp keeps keys and values in float16."""
MARGIN = 4e-3


def decided(model, ids):
    """Whether no greedy token of the parity test, and no router on the way, is a near tie, which rounding would decide."""
    if hasattr(model.config, "output_router_logits"):
        with torch.no_grad():
            routers = model(input_ids=ids, output_router_logits=True).router_logits
        for scores in routers:
            best = scores.softmax(-1).topk(model.config.num_experts_per_tok + 1).values
            last, next = best[:, -2], best[:, -1]
            # an expert that another nearly replaces must hardly count
            share = last / best[:, :-1].sum(-1)
            if (share[last - next < 3 * MARGIN * last] > 0.01).any():
                return False
    model.generation_config.eos_token_id = None
    out = model.generate(ids[:, :PROMPT], max_new_tokens=GENERATED, do_sample=False, return_dict_in_generate=True, output_logits=True)
    for (logits,) in out.logits:
        best = logits.topk(2).values
        if best[0] - best[1] < MARGIN * logits.abs().max():
            return False
    return True


def make(name, config, kind, folder):
    """The first seed whose greedy tokens are decided."""
    for seed in range(100):
        if make_with(seed, name, config, kind, folder):
            print(name, "seed", seed)
            return
    raise SystemExit(f"{name}: no seed is decided")


def make_with(seed, name, config, kind, folder):
    torch.manual_seed(seed)
    model = kind(config).float().eval()
    for parameter_name, parameter in model.named_parameters():
        plain = "norm" in parameter_name and not name.startswith("gemma3")
        # routers far from undecided: else rounding picks other experts
        std = 1.0 if "gate.weight" in parameter_name else 0.2
        torch.nn.init.normal_(parameter, mean=1.0 if plain else 0.0, std=std)
        parameter.data = parameter.data.half().float()
    ids = torch.randint(3, config.vocab_size, (1, 40))
    if not decided(model, ids):
        return False
    with torch.no_grad():
        logits = model(input_ids=ids).logits
    with tempfile.TemporaryDirectory() as saved:
        model.save_pretrained(saved)
        text = (Path(saved) / "config.json").read_text()
        with safe_open(f"{saved}/model.safetensors", "pt") as file:
            tensors = {f"weight/{key}": file.get_tensor(key).half() for key in file.keys()}
    tensors |= {"ids": ids, "logits": logits}
    save_file({key: value.contiguous() for key, value in tensors.items()}, folder / f"gguf-{name}.safetensors",
              {"config": json.dumps(json.loads(text))})
    return True


if __name__ == "__main__":
    for case, (case_config, case_kind) in CASES.items():
        make(case, case_config, case_kind, Path(sys.argv[1]))
