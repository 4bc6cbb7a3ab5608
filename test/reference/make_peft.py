"""Makes fixtures/peft: a LoRA adapter written by PEFT on the model of fixtures/llama-tied, and the logits PEFT computes with it.

Usage: python make_peft.py FIXTURES_FOLDER   (needs torch, transformers, peft, safetensors; made with peft 0.21)
"""
import json
import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM


def base_model(fixture):
    """The tiny model of a fixture, and its ids."""
    with safe_open(fixture, "pt") as file:
        config = LlamaConfig(**json.loads(file.metadata()["config"]))
        model = LlamaForCausalLM(config).float()
        weights = {name.removeprefix("weight/"): file.get_tensor(name) for name in file.keys() if name.startswith("weight/")}
        model.load_state_dict(weights, strict=False)
        return model.eval(), file.get_tensor("ids")


def main():
    folder = Path(sys.argv[1])
    model, ids = base_model(folder / "llama-tied.safetensors")
    torch.manual_seed(1)
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    tuned = get_peft_model(model, LoraConfig(r=4, lora_alpha=12, target_modules=targets, task_type="CAUSAL_LM"))
    for name, parameter in tuned.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    tuned.eval().save_pretrained(folder / "peft")
    (folder / "peft" / "README.md").unlink(missing_ok=True)
    with torch.no_grad():
        logits = tuned(input_ids=ids).logits
    save_file({"logits": logits.contiguous(), "ids": ids}, folder / "peft-logits.safetensors", {"config": "{}"})


if __name__ == "__main__":
    main()
