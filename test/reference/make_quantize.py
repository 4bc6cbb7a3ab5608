"""Writes quantize.json: float32 values and their bytes in F16, BF16 and Q8_0 by gguf-py.

Usage: python make_quantize.py quantize.json   (needs gguf, numpy)
"""
import base64
import json
import sys

import numpy as np
from gguf import GGMLQuantizationType as T, quantize

rng = np.random.default_rng(11)
blocks = [rng.standard_normal(32) * scale for scale in (1, 0.02, 3e-5, 1e-7, 500, 60000, 1e-12)]
# halves of the step, where rounding to even and away from zero differ; zeros of both signs; one outlier among zeros
blocks += [np.arange(-16, 16) * 0.5 * 127 / 127, np.arange(32) + 0.5 - 16, np.zeros(32), -np.zeros(32), np.eye(32)[3] * -7]
blocks[8][0] = -127
values = np.concatenate(blocks).astype(np.float32).reshape(1, -1)
b64 = lambda array: base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
with np.errstate(over="ignore"):
    out = {name: b64(quantize(values, T[name])) for name in ("F16", "BF16", "Q8_0")}
with open(sys.argv[1], "w") as file:
    json.dump({"values": b64(values), "bytes": out}, file)
