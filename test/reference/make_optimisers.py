# Three steps of each optimiser on a vector: AdamW by PyTorch, Lion and the 8-bit AdamW by the formulas of their papers in float64,
# with the code of bitsandbytes' create_dynamic_map. Writes optimisers.json beside this file.
import json
import pathlib

import torch

SIZE, STEPS, RATE, DECAY, B1, B2, EPS, BLOCK = 300, 6, 0.05, 0.01, 0.9, 0.99, 1e-8, 256
torch.manual_seed(3)
start = torch.randn(SIZE)
scale = 10 ** torch.empty(SIZE).uniform_(-3, 0)
gradients = [torch.randn(SIZE) * scale * 0.01 for _ in range(STEPS)]


def adamw():
    p = torch.nn.Parameter(start.clone())
    optimiser = torch.optim.AdamW([p], lr=RATE, betas=(B1, B2), eps=EPS, weight_decay=DECAY)
    for g in gradients:
        p.grad = g.clone()
        optimiser.step()
    return p.detach()


def lion():
    p, m = start.double().clone(), torch.zeros(SIZE, dtype=torch.float64)
    for g in gradients:
        c = torch.sign(B1 * m + (1 - B1) * g)
        p = p * (1 - RATE * DECAY) - RATE * c
        m = B2 * m + (1 - B2) * g
    return p


def dynamic_map(signed):
    data = [0.0, 1.0]
    for i in range(7):
        bounds = torch.linspace(0.1, 1, (2**i if signed else 2 ** (i + 1)) + 1, dtype=torch.float64)
        means = (bounds[:-1] + bounds[1:]) / 2 * 10 ** (i - 6)
        data += means.tolist() + ((-means).tolist() if signed else [])
    return torch.tensor(sorted(data), dtype=torch.float64)


def stored(x, code):
    out = torch.empty_like(x)
    for at in range(0, SIZE, BLOCK):
        block = x[at : at + BLOCK]
        largest = block.abs().max()
        nearest = (block[:, None] / largest - code[None, :]).abs().argmin(1)
        out[at : at + BLOCK] = code[nearest] * largest
    return out


def adamw8bit():
    p = start.double().clone()
    m, v = torch.zeros(SIZE, dtype=torch.float64), torch.zeros(SIZE, dtype=torch.float64)
    for t, g in enumerate(gradients, 1):
        m, v = B1 * m + (1 - B1) * g, B2 * v + (1 - B2) * g.double() ** 2
        p = p * (1 - RATE * DECAY) - RATE / (1 - B1**t) * m / (torch.sqrt(v / (1 - B2**t)) + EPS)
        m, v = stored(m, dynamic_map(True)), stored(v, dynamic_map(False))
    return p


# float32 values round-trip through repr
numbers = lambda x: [float(value) for value in x]
out = {
    "rate": RATE,
    "weightDecay": DECAY,
    "start": numbers(start),
    "gradients": [numbers(g) for g in gradients],
    "adamw": numbers(adamw()),
    "lion": numbers(lion()),
    "adamw8bit": numbers(adamw8bit()),
    "signedCode": numbers(dynamic_map(True)),
    "unsignedCode": numbers(dynamic_map(False)),
}
pathlib.Path(__file__).with_name("optimisers.json").write_text(json.dumps(out) + "\n")
