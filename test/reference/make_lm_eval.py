"""Decisions of lm-evaluation-harness on made-up multiple-choice items, for test/likelihood.model.test.ts.

python make_lm_eval.py SmolLM2-135M-Instruct.Q4_1.gguf > lm_eval.json
The weights are read from the same GGUF file (dequantised by transformers), items from examples/support-desk/test.jsonl.
"""
import json
import pathlib
import sys
import tempfile

import lm_eval
import torch
import transformers
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

gguf = pathlib.Path(sys.argv[1])
root = pathlib.Path(__file__).resolve().parents[2]
rows = [json.loads(line) for line in open(root / "examples/support-desk/test.jsonl")]
intents = sorted({json.loads(r["reference"] if "reference" in r else r["messages"][-1]["content"])["intent"] for r in rows})
items = []
for i, row in enumerate(rows[:80]):
    right = json.loads(row["reference"] if "reference" in row else row["messages"][-1]["content"])["intent"]
    others = [intents[(i * 5 + k * 3) % len(intents)] for k in range(len(intents))]
    choices = [name for j, name in enumerate(dict.fromkeys(others)) if name != right][:3]
    choices.insert(i % 4, right)
    message = [m for m in row["messages"] if m["role"] == "user"][-1]["content"]
    items.append({"question": message, "choices": [c.replace("_", " ") for c in choices], "gold": i % 4})

folder = pathlib.Path(tempfile.mkdtemp())
with open(folder / "items.jsonl", "w") as out:
    for item in items:
        out.write(json.dumps(item, ensure_ascii=False) + "\n")
PROMPT = "Message: {{question.strip()}}\nWhat the customer wants:"
(folder / "desk.yaml").write_text(json.dumps({
    "task": "desk", "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(folder / "items.jsonl")}},
    "test_split": "test", "output_type": "multiple_choice", "doc_to_text": PROMPT, "doc_to_choice": "{{choices}}",
    "doc_to_target": "gold", "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}], "metadata": {"version": 1},
}))
tokenizer = transformers.AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
model = transformers.AutoModelForCausalLM.from_pretrained(str(gguf.parent), gguf_file=gguf.name, dtype=torch.float32)
lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1)
result = lm_eval.simple_evaluate(model=lm, tasks=["desk"], task_manager=TaskManager(include_path=str(folder)),
                                 log_samples=True, bootstrap_iters=0)
samples = sorted(result["samples"]["desk"], key=lambda s: s["doc_id"])
print(json.dumps({
    "made_with": {"lm_eval": lm_eval.__version__, "transformers": transformers.__version__, "model": gguf.name},
    "acc": result["results"]["desk"]["acc,none"], "acc_norm": result["results"]["desk"]["acc_norm,none"],
    "items": [{**item, "prompt": s["arguments"][0][0] if isinstance(s["arguments"], list) else s["arguments"]["gen_args_0"]["arg_0"],
               "logprobs": [r[0][0] for r in s["resps"]], "greedy": [bool(r[0][1]) for r in s["resps"]],
               "acc": s["acc"], "acc_norm": s["acc_norm"]} for item, s in zip(items, samples)],
}, ensure_ascii=False, indent=1))
