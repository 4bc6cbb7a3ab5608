# Writes dequantize.json: random blocks of every readable type and their float32 values by gguf-py.
import base64, json, numpy as np
from gguf import GGMLQuantizationType as T, GGML_QUANT_SIZES, dequantize
rng = np.random.default_rng(5)
out = {}
for name in "F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS".split():
    block, size = GGML_QUANT_SIZES[T[name]]
    n = 3 if block > 1 else 64
    raw = rng.integers(0, 256, n * size, dtype=np.uint8).reshape(n, size)
    half = lambda k: (rng.standard_normal(n) * 0.01).astype(np.float16).view(np.uint8).reshape(n, 2)
    for at in {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0]}.get(name, []):
        raw[:, at:at + 2] = half(at)
    if block == 1:
        v = rng.standard_normal(n).astype(np.float32)
        v[:4] = [0, -0.0, 6e-8, 65504]
        raw = {"F32": v, "F16": v.astype(np.float16), "BF16": (v.view(np.uint32) >> 16).astype(np.uint16)}[name].view(np.uint8).reshape(n, size)
    values = dequantize(raw.reshape(1, -1), T[name]).astype(np.float32)
    out[name] = {"bytes": base64.b64encode(raw.tobytes()).decode(), "values": base64.b64encode(values.tobytes()).decode()}
import sys
json.dump(out, open(sys.argv[1], "w"))
