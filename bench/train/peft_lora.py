"""The peer of bench/train.ts: LoRA or full steps of PyTorch on a model of SmolLM2-135M's shape. Prints one line of JSON.

usage: peft_lora.py [full-]float32|bfloat16|autocast BATCH LENGTH STEPS THREADS     (needs torch, transformers and peft)
LoRA (PEFT): rank 8 on all seven projections; full-: every weight. autocast: float32 weights, products in bfloat16. Loss on the last quarter of every row, AdamW. Weights are random: time does not depend on them.
"""
import json
import resource
import sys
import time

import peft
import torch
import transformers

kind, (batch, length, steps, threads) = sys.argv[1], map(int, sys.argv[2:6])
torch.set_num_threads(threads)
torch.manual_seed(0)
full = kind.startswith("full-")
kind = kind.removeprefix("full-")
config = transformers.LlamaConfig(
    vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
    num_key_value_heads=3, head_dim=64, rope_theta=100000.0, tie_word_embeddings=True, max_position_embeddings=8192,
)
# made in its own precision, so that no float32 copy counts towards the peak of bfloat16
autocast = kind == "autocast"
torch.set_default_dtype(torch.float32 if autocast else getattr(torch, kind))
model = transformers.LlamaForCausalLM(config)
torch.set_default_dtype(torch.float32)
targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
if not full:
    model = peft.get_peft_model(model, peft.LoraConfig(r=8, lora_alpha=16, target_modules=targets))
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
model.train()
seconds = []
for _ in range(steps + 1):
    ids = torch.randint(0, config.vocab_size, (batch, length))
    labels = ids.clone()
    labels[:, : length * 3 // 4] = -100
    started = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = model(input_ids=ids, labels=labels).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    seconds.append(time.perf_counter() - started)
# the first step allocates, where there is another
step = sorted(seconds[1:] or seconds)[steps // 2]
# kilobytes on Linux, bytes on macOS
unit = 1 if sys.platform == "darwin" else 1024
print(json.dumps({
    "stepSeconds": step,
    "tokensPerSecond": batch * length / step,
    "peakBytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
    "versions": {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__},
}))
