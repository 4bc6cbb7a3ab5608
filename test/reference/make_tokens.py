"""Writes tokens.json: token ids of conversations.json by transformers' apply_chat_template, for each family.

usage: make_tokens.py conversations.json SMOLLM2.gguf GEMMA3.gguf LLAMA_CPP_MODELS_FOLDER tokens.json
Vocabularies come from GGUF files (llama.cpp keeps vocabulary-only ones in its models folder), templates from the GGUF or from
models/templates; normalisers and pre-tokenizers are those of the models' own tokenizer.json, so they test ours.
Needs: transformers, tokenizers, gguf, jinja2. Conversations that a template refuses, or that spell control tokens, are left out.
"""
import json, sys
from gguf import GGUFReader
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast
from transformers.tokenization_utils_base import generate_merges

conversations_path, smollm2, gemma3, folder, out = sys.argv[1:]
WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
byte_level = lambda regex=False: pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=regex)
split = lambda pattern: pre_tokenizers.Split(Regex(pattern), "isolated")
FAMILIES = {
    "smollm2": (smollm2, None, None, pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level(True)])),
    "qwen2.5": (f"{folder}/ggml-vocab-qwen2.gguf", "Qwen-Qwen2.5-7B-Instruct", normalizers.NFC(), pre_tokenizers.Sequence([split(WORDS % r"\p{N}"), byte_level()])),
    "qwen3": (f"{folder}/ggml-vocab-qwen2.gguf", "Qwen-Qwen3-0.6B", normalizers.NFC(), pre_tokenizers.Sequence([split(WORDS % r"\p{N}"), byte_level()])),
    "llama3": (f"{folder}/ggml-vocab-llama-bpe.gguf", "meta-llama-Llama-3.2-3B-Instruct", None, pre_tokenizers.Sequence([split(WORDS % r"\p{N}{1,3}"), byte_level()])),
    "deepseek": (f"{folder}/ggml-vocab-deepseek-llm.gguf", "deepseek-v2", None, "deepseek"),
    "gemma3": (gemma3, "gemma3", "gemma", None),
}
# DeepSeek-V2's own template (tokenizer_config.json of DeepSeek-V2-Chat)
OWN = {
    "deepseek-v2": "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}{{ 'User: ' + message['content'] + '\n\n' }}{% elif message['role'] == 'assistant' %}{{ 'Assistant: ' + message['content'] + eos_token }}{% elif message['role'] == 'system' %}{{ message['content'] + '\n\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}",
    # the text part of Gemma 3's template
    "gemma3": "{{ bos_token }}{%- if messages[0]['role'] == 'system' -%}{%- set first_user_prefix = messages[0]['content'] + '\n\n' -%}{%- set loop_messages = messages[1:] -%}{%- else -%}{%- set first_user_prefix = '' -%}{%- set loop_messages = messages -%}{%- endif -%}{%- for message in loop_messages -%}{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{%- endif -%}{%- if (message['role'] == 'assistant') -%}{%- set role = 'model' -%}{%- else -%}{%- set role = message['role'] -%}{%- endif -%}{{ '<start_of_turn>' + role + '\n' + (first_user_prefix if loop.first else '') }}{{ message['content'] | trim }}{{ '<end_of_turn>\n' }}{%- endfor -%}{%- if add_generation_prompt -%}{{ '<start_of_turn>model\n' }}{%- endif -%}",
}

def load(path, template, normalizer, pre):
    fields = GGUFReader(path).fields
    value = lambda key: fields[key].contents() if key in fields else None
    tokens, types = value("tokenizer.ggml.tokens"), value("tokenizer.ggml.token_type")
    vocab = {token: i for i, token in enumerate(tokens)}
    if value("tokenizer.ggml.model") == "llama":
        scores = value("tokenizer.ggml.scores")
        merges = generate_merges(vocab, list(zip(tokens, scores)))
        backend = Tokenizer(BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
        backend.normalizer = normalizers.Replace(" ", "\u2581")
    else:
        backend = Tokenizer(BPE(vocab, [tuple(m.split(" ")) for m in value("tokenizer.ggml.merges")], ignore_merges="llama-bpe" in path))
        if normalizer is not None:
            backend.normalizer = normalizer
        if pre == "deepseek":
            spec = json.load(open(sys.argv[0].replace("make_tokens.py", "deepseek-pre-tokenizer.json")))
            pre = pre_tokenizers.Sequence([split(p) for p in spec] + [byte_level()])
        backend.pre_tokenizer = pre
        backend.decoder = decoders.ByteLevel()
    control = [t for t, k in zip(tokens, types) if k in (2, 3)]
    backend.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in control])
    backend.add_tokens([AddedToken(t, normalized=False) for t, k in zip(tokens, types) if k == 4])
    named = lambda key: tokens[value(f"tokenizer.ggml.{key}_token_id")] if value(f"tokenizer.ggml.{key}_token_id") is not None else None
    chat = OWN.get(template) or (open(f"{folder}/templates/{template}.jinja").read() if template else value("tokenizer.chat_template"))
    hf = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=named("bos"), eos_token=named("eos"), clean_up_tokenization_spaces=False)
    hf.chat_template = chat
    return hf, chat

def with_objects(messages):
    """transformers wants the arguments of calls as objects."""
    copy = json.loads(json.dumps(messages))
    for message in copy:
        for entry in message.get("tool_calls", []):
            entry["function"]["arguments"] = json.loads(entry["function"]["arguments"])
    return copy

conversations = json.load(open(conversations_path))
result = {}
for family, spec in FAMILIES.items():
    tokenizer, template = load(*spec)
    ids, refused, knows_tools = {}, [], "tools" in template
    for row in conversations:
        uses_tools = "tools" in row or any(m["role"] == "tool" for m in row["messages"])
        if row.get("spells") or (uses_tools and not knows_tools):
            continue
        try:
            kwargs = {"tools": row["tools"]} if "tools" in row else {}
            if family == "llama3":
                kwargs["date_string"] = "26 Jul 2024"
            ids[row["name"]] = tokenizer.apply_chat_template(with_objects(row["messages"]), add_generation_prompt=True, tokenize=True, return_dict=False, **kwargs)
        except Exception as error:
            refused.append(f"{row['name']}: {error}")
    print(family, len(ids), "conversations;", "refused:", refused)
    result[family] = {"template": template if spec[1] else None, "ids": ids, "refused": [text.split(":")[0] for text in refused]}
with open(out, "w") as file:
    json.dump(result, file, separators=(",", ":"))
