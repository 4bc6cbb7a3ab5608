"""Checks that transformers loads a folder written by Cupel from a GGUF file, with the tokens and logits of llama.cpp's own reader.

Usage, from the root of the repository: python test/reference/check_folder.py MODEL.gguf
(needs torch, transformers, gguf, safetensors; npx). The reference is transformers reading the GGUF file itself.
"""
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

gguf = Path(sys.argv[1]).resolve()
TEXT = "Where is order 4711? 你好, the parcel has not arrived 🙂"
with tempfile.TemporaryDirectory() as folder:
    script = Path(__file__).parent / "rewrite_folder.ts"
    subprocess.run(["npx", "tsx", str(script), str(gguf), folder], check=True)
    ours = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
theirs = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
ids = tokenizer(TEXT, return_tensors="pt").input_ids
if tokenizer.chat_template:
    print(tokenizer.apply_chat_template([{"role": "user", "content": TEXT}], tokenize=False, add_generation_prompt=True))
with torch.no_grad():
    a, b = ours(ids).logits[0], theirs(ids).logits[0]
difference = ((a - b).abs().max() / b.abs().max()).item()
print(f"{ids.shape[1]} tokens; largest difference of logits {difference:.1e} of the largest logit")
sys.exit(difference > 1e-4)
