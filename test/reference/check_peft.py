"""Checks that PEFT loads an adapter written by Cupel, with the same logits: the reverse of test/peft.test.ts.

Usage, from the root of the repository: python test/reference/check_peft.py   (needs torch, transformers, peft, safetensors; npx)
"""
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from peft import PeftModel
from safetensors import safe_open

from make_peft import base_model

fixtures = Path(__file__).parent / "fixtures"
with tempfile.TemporaryDirectory() as folder:
    # reads the adapter that PEFT made and writes it again
    subprocess.run(["npx", "tsx", str(Path(__file__).parent / "rewrite_peft.ts"), str(fixtures / "peft"), folder], check=True)
    model, ids = base_model(fixtures / "llama-tied.safetensors")
    plain = model(input_ids=ids).logits
    tuned = PeftModel.from_pretrained(model, folder).eval()
    with torch.no_grad():
        logits = tuned(input_ids=ids).logits
with safe_open(fixtures / "peft-logits.safetensors", "pt") as file:
    expected = file.get_tensor("logits")
difference = (logits - expected).abs().max().item()
effect = (plain - expected).abs().max().item()
print(f"largest difference of logits {difference:.2e}; the adapter changes them by up to {effect:.2f}")
sys.exit(difference > 1e-5 * expected.abs().max().item() or effect < 0.1)
