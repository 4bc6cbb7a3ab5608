"""Makes the tiny random Llama fixtures: weights, inputs, and what transformers computes from them.

Usage: python make_llama.py OUTPUT_FOLDER   (needs torch, transformers, safetensors; the fixtures were made with transformers 5.23)
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

BASE = dict(
    vocab_size=97, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=1e-5, attn_implementation="eager",
)
LLAMA3 = dict(rope_type="llama3", rope_theta=5000.0, factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=16)
CASES = {
    "llama-tied": dict(tie_word_embeddings=True, rope_parameters=dict(rope_type="default", rope_theta=100000.0)),
    "llama-untied-llama3": dict(tie_word_embeddings=False, rope_parameters=LLAMA3),
    "llama-bias-wide-heads": dict(tie_word_embeddings=False, attention_bias=True, mlp_bias=True, head_dim=12,
                                  rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=2.0)),
}


def make(name, options, folder):
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**BASE, **options)).float()
    for parameter_name, parameter in model.named_parameters():
        # wide enough that errors show: norms around one, biases and weights far from zero
        torch.nn.init.normal_(parameter, mean=1.0 if "norm" in parameter_name else 0.0, std=0.2)
    ids = torch.randint(0, BASE["vocab_size"], (2, 40))
    logits = model(input_ids=ids).logits
    rows = torch.tensor([3, 4, 17, 38, 40, 55, 78])
    targets = ids.reshape(-1)[rows + 1]
    loss_weight = torch.linspace(0.05, 0.3, len(rows))
    losses = torch.nn.functional.cross_entropy(logits.reshape(-1, BASE["vocab_size"])[rows], targets, reduction="none")
    loss = (losses * loss_weight).sum()
    loss.backward()
    tensors = {f"weight/{n}": p.detach() for n, p in model.named_parameters()}
    tensors |= {f"gradient/{n}": p.grad for n, p in model.named_parameters()}
    tensors |= {"ids": ids, "logits": logits.detach(), "rows": rows, "targets": targets, "loss_weight": loss_weight,
                "loss": loss.detach().reshape(1)}
    config = json.dumps(model.config.to_dict())
    save_file({n: t.contiguous() for n, t in tensors.items()}, folder / f"{name}.safetensors", {"config": config})


if __name__ == "__main__":
    output = Path(sys.argv[1])
    for case, case_options in CASES.items():
        make(case, case_options, output)
