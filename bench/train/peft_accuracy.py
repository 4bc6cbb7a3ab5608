"""The peer of bench/accuracy.ts: PyTorch on samples that Cupel made, for a budget of time. Prints one line of JSON.

usage: peft_accuracy.py MODEL_FOLDER SAMPLES.jsonl OUT_FOLDER SECONDS THREADS ROWS RATE RANK ALPHA [full-]float32|bfloat16|autocast SEED
LoRA with PEFT; full-: every weight. autocast: float32 weights, products in bfloat16. A sample is {"ids": [...], "answers": [[start, end], ...]}; loss on the answers only, ROWS a batch padded to its longest, AdamW, a
linear warm-up of 5 steps and then half a cosine down to 5% over the budget. Loading the model counts towards the budget.
"""
import json
import math
import random
import sys
import time

started = time.perf_counter()
import peft
import torch
import transformers

folder, samples, out = sys.argv[1:4]
seconds, threads, rows, rate, rank, alpha = (float(value) for value in sys.argv[4:10])
full = sys.argv[10].startswith("full-")
kind = sys.argv[10].removeprefix("full-")
autocast = kind == "autocast"
dtype = torch.float32 if autocast else getattr(torch, kind)
rows = int(rows)
torch.set_num_threads(int(threads))
torch.manual_seed(int(sys.argv[11]))
random.seed(int(sys.argv[11]))
with open(samples, encoding="utf-8") as file:
    data = [json.loads(line) for line in file]
model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
if not full:
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model = peft.get_peft_model(model, peft.LoraConfig(r=int(rank), lora_alpha=alpha, target_modules=targets, task_type="CAUSAL_LM"))
model.train()
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate, weight_decay=0.0)


def batches():
    while True:
        random.shuffle(data)
        for at in range(0, len(data) - rows + 1, rows):
            yield data[at : at + rows]


def tensors(batch):
    length = max(len(one["ids"]) for one in batch)
    ids = torch.zeros(len(batch), length, dtype=torch.long)
    mask = torch.zeros_like(ids)
    labels = torch.full_like(ids, -100)
    for row, one in enumerate(batch):
        count = len(one["ids"])
        ids[row, :count] = torch.tensor(one["ids"])
        mask[row, :count] = 1
        for start, end in one["answers"]:
            labels[row, start:end] = ids[row, start:end]
    return ids, mask, labels


steps = tokens = 0
for batch in batches():
    done = (time.perf_counter() - started) / seconds
    if done >= 1:
        break
    factor = (steps + 1) / 5 if steps < 5 else 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done))
    for group in optimizer.param_groups:
        group["lr"] = rate * factor
    ids, mask, labels = tensors(batch)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    steps += 1
    tokens += int(mask.sum())
took = time.perf_counter() - started
model.save_pretrained(out)
print(json.dumps({
    "steps": steps,
    "epochs": steps * rows / len(data),
    "tokensPerSecond": tokens / took,
    "seconds": took,
    "versions": {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__},
}))
