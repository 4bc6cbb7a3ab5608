"""Makes the tiny random fixtures of the families other than Llama: weights, inputs, and what transformers computes from them.

Experts, which transformers holds fused, are written one by one under the names of the checkpoints. The loss includes the family's
balancing loss: transformers' own for Mixtral and Qwen3-MoE; for DeepSeek-V2, where transformers has none, equations 23 to 25 of its paper.

Usage: python make_families.py OUTPUT_FOLDER   (needs torch, transformers, safetensors; the fixtures were made with transformers 5.23)
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

LENGTH = 48
BASE = dict(
    vocab_size=61, hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=128, rms_norm_eps=1e-5, attn_implementation="eager",
)
YARN = dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=16)
DEFAULT = dict(rope_type="default", rope_theta=10000.0)
DEEPSEEK = dict(
    num_key_value_heads=4, kv_lora_rank=12, qk_nope_head_dim=10, qk_rope_head_dim=8, v_head_dim=6, n_routed_experts=8,
    n_shared_experts=2, num_experts_per_tok=3, moe_intermediate_size=14, first_k_dense_replace=1, aux_loss_alpha=0.05,
    num_hidden_layers=3,
)
CASES = {
    "mistral": ("mistral", dict(sliding_window=7, rope_parameters=DEFAULT)),
    "qwen2": ("qwen2", dict(rope_parameters=DEFAULT, use_sliding_window=True, sliding_window=9, max_window_layers=1)),
    "qwen2-yarn": ("qwen2", dict(rope_parameters=YARN, tie_word_embeddings=True)),
    "qwen3": ("qwen3", dict(head_dim=12, rope_parameters=DEFAULT, tie_word_embeddings=True)),
    "gemma3": ("gemma3_text", dict(
        pad_token_id=None,  # whose embedding would get no gradient
        head_dim=12, num_hidden_layers=3, sliding_window=8, query_pre_attn_scalar=20, final_logit_softcapping=5.0,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        rope_parameters=dict(sliding_attention=DEFAULT,
                             full_attention=dict(rope_type="linear", rope_theta=50000.0, factor=8.0)))),
    "mixtral": ("mixtral", dict(num_local_experts=5, num_experts_per_tok=2, router_aux_loss_coef=0.02, sliding_window=11,
                                rope_parameters=DEFAULT)),
    "qwen3-moe": ("qwen3_moe", dict(
        head_dim=12, num_hidden_layers=3, num_experts=8, num_experts_per_tok=3, moe_intermediate_size=14, norm_topk_prob=True,
        mlp_only_layers=[1], router_aux_loss_coef=0.02, rope_parameters=DEFAULT)),
    "deepseek-v2": ("deepseek_v2", dict(
        **DEEPSEEK, q_lora_rank=20, topk_method="group_limited_greedy", n_group=4, topk_group=2, routed_scaling_factor=1.7,
        rope_parameters=dict(**YARN, mscale=0.707, mscale_all_dim=0.9))),
    "deepseek-v2-lite": ("deepseek_v2", dict(
        **DEEPSEEK, q_lora_rank=None, topk_method="greedy", seq_aux=False, rope_parameters=DEFAULT)),
}
MIXTRAL_NAMES = dict(gate="w1", up="w3", down="w2", block="block_sparse_moe")
OTHER_NAMES = dict(gate="gate_proj", up="up_proj", down="down_proj", block="mlp")


def checkpoint_names(model_type, tensors):
    """The names and shapes of published checkpoints."""
    names = MIXTRAL_NAMES if model_type == "mixtral" else OTHER_NAMES
    result = {}
    for name, tensor in tensors.items():
        if ".experts." not in name:
            result[name.replace(".mlp.gate.", f".{names['block']}.gate.")] = tensor
            continue
        prefix = name.split(".mlp.")[0] + f".{names['block']}.experts"
        for index, expert in enumerate(tensor):
            if name.endswith("gate_up_proj"):
                gate, up = expert.chunk(2)
                result |= {f"{prefix}.{index}.{names['gate']}.weight": gate, f"{prefix}.{index}.{names['up']}.weight": up}
            else:
                result[f"{prefix}.{index}.{names['down']}.weight"] = expert
    return {name: tensor.detach().clone().contiguous() for name, tensor in result.items()}


def deepseek_balance(config, model, output, routed):
    """Per sequence (or over the batch): E/k * sum of share of choices times mean score; summed over layers."""
    total = 0.0
    experts, chosen = config.n_routed_experts, config.num_experts_per_tok
    for logits, _, indices in routed:
        scores = logits.softmax(-1)
        hits = torch.zeros_like(scores).scatter(1, indices, 1.0)
        sequences = 2 if getattr(config, "seq_aux", True) else 1
        share = hits.view(sequences, -1, experts).sum(1) * experts / (chosen * hits.shape[0] / sequences)
        total = total + (share * scores.view(sequences, -1, experts).mean(1)).sum(1).mean()
    return total * config.aux_loss_alpha


def make(name, model_type, options, folder):
    torch.manual_seed(0)
    config = AutoConfig.for_model(model_type, **(BASE | options))
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().train()
    model.config._experts_implementation = "eager"
    for parameter_name, parameter in model.named_parameters():
        # wide enough that errors show: norms around one, biases and weights far from zero
        mean = 1.0 if "norm" in parameter_name and model_type != "gemma3_text" else 0.0
        torch.nn.init.normal_(parameter, mean=mean, std=0.2)
    routed = []
    for module_name, module in model.named_modules():
        if module_name.endswith("mlp.gate"):
            module.register_forward_hook(lambda _module, _inputs, output: routed.append(output))
    ids = torch.randint(0, BASE["vocab_size"], (2, LENGTH))
    extra = {"output_router_logits": True} if hasattr(config, "router_aux_loss_coef") else {}
    output = model(input_ids=ids, use_cache=False, **extra)
    rows = torch.tensor([3, 4, 17, 38, 46, 50, 63, 94])
    targets = ids.reshape(-1)[rows + 1]
    loss_weight = torch.linspace(0.05, 0.3, len(rows))
    losses = torch.nn.functional.cross_entropy(output.logits.reshape(-1, BASE["vocab_size"])[rows], targets, reduction="none")
    loss = (losses * loss_weight).sum()
    if extra:
        loss = loss + config.router_aux_loss_coef * output.aux_loss
    elif routed:
        loss = loss + deepseek_balance(config, model, output, routed)
    loss.backward()
    parameters = dict(model.named_parameters())
    weights = checkpoint_names(model_type, parameters)
    gradients = checkpoint_names(model_type, {n: p.grad for n, p in parameters.items()})
    tensors = {f"weight/{n}": t for n, t in weights.items()} | {f"gradient/{n}": t for n, t in gradients.items()}
    tensors |= {"ids": ids, "logits": output.logits.detach(), "rows": rows, "targets": targets, "loss_weight": loss_weight,
                "loss": loss.detach().reshape(1)}
    save_file({n: t.contiguous() for n, t in tensors.items()}, folder / f"{name}.safetensors",
              {"config": json.dumps(config.to_dict())})


if __name__ == "__main__":
    output_folder = Path(sys.argv[1])
    for case, (case_type, case_options) in CASES.items():
        make(case, case_type, case_options, output_folder)
