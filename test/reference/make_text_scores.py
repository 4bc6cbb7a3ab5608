"""ROUGE-L of rouge_score and chrF of sacreBLEU: python make_text_scores.py > text_scores.json"""
import json
import random
import re

import rouge_score
import sacrebleu
from rouge_score import rouge_scorer
from sacrebleu.metrics import CHRF

rng = random.Random(7)
words = "the a refund order shipped on Monday, but it's 3.5 days late; please re-send invoice #42 to Zoë naïve".split()
pairs = [("", "x"), ("same text", "same text"), ("abc", "xyz"), ("The cat.", "the cat")]
for _ in range(60):
    a = [rng.choice(words) for _ in range(rng.randint(1, 14))]
    b = [w if rng.random() < 0.6 else rng.choice(words) for w in a] + [rng.choice(words) for _ in range(rng.randint(0, 4))]
    pairs.append((" ".join(a), " ".join(b)))
chinese = [("被告人应当承担赔偿责任", "被告应承担全部赔偿责任。"), ("订单已发货", "您的订单已经发货"), ("退款 3 天内到账", "退款三天内到账")]
odd_parts = ["a", "the", "Hello", ",", "!", "😀", "👍🏽", "café", "naïve", "ß", "İ", "½", "\t", "\u3000", "\x1c", "\ufeff", "22", "3.5", "_", "e\u0301", "ﬁ", "K", "你好", "日本語"]
odd = [("", ""), ("!!!", "???"), ("😀", "😀"), (" ", "")]
for _ in range(60):
    odd.append(tuple("".join(rng.choice(odd_parts) + rng.choice(["", " "]) for _ in range(rng.randint(0, 8))) for _ in range(2)))
rouge = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
chrf = CHRF()
# rouge_score has no tokens of other scripts; here each of their letters is one
latin_only = lambda t: not re.search("[\u3040-\u30ff\u4e00-\u9fff]", t)
print(json.dumps({
    "made_with": {"rouge_score": "0.1.2", "sacrebleu": sacrebleu.__version__},
    "rouge": [{"prediction": p, "expected": e, "score": rouge.score(e, p)["rougeL"].fmeasure}
              for p, e in pairs + odd if latin_only(p + e)],
    "chrf": [{"prediction": p, "expected": e, "score": chrf.sentence_score(p, [e]).score / 100} for p, e in pairs + chinese + odd],
}, ensure_ascii=False, indent=1))
