import json

import pytest

from kit import models
from kit.errors import RequestError
from kit.models.internlm2 import _fast_tokenizer

torch = pytest.importorskip("torch")
save_file = pytest.importorskip("safetensors.torch").save_file


def tiny(folder, layers=3):
    """A small Qwen2 whose weights tell the number of each layer."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=16,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=2,
        layer_types=["sliding_attention" if i == 1 else "full_attention" for i in range(layers)],
        use_sliding_window=True,
        bos_token_id=0,
        eos_token_id=1,
    )
    model = Qwen2ForCausalLM(config)
    for number, layer in enumerate(model.model.layers):
        torch.nn.init.constant_(layer.mlp.up_proj.weight, number)
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_text("{}")
    (folder / "remote_code.py").write_text("raise SystemExit")
    return folder


def load(folder):
    from safetensors.torch import load_file

    return {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}


def test_select_layers_stacks_them_in_order(tmp_path):
    models.select_layers(tiny(tmp_path / "a"), [0, 1, 1, 2], tmp_path / "b")
    tensors = load(tmp_path / "b")
    assert [tensors[f"model.layers.{i}.mlp.up_proj.weight"][0, 0] for i in range(4)] == [0, 1, 1, 2]
    config = json.loads((tmp_path / "b" / "config.json").read_text())
    kinds = ["full_attention", "sliding_attention", "sliding_attention", "full_attention"]
    assert (config["num_hidden_layers"], config["layer_types"]) == (4, kinds)
    assert not (tmp_path / "b" / "remote_code.py").exists()


def test_select_layers_refuses_a_layer_that_is_not_there(tmp_path):
    with pytest.raises(RequestError) as caught:
        models.select_layers(tiny(tmp_path / "a"), [0, 3], tmp_path / "b")
    assert str(caught.value) == f"{tmp_path / 'a'}: layer 3 asked for, the model has layers 0 to 2"


def test_bin_to_safetensors_keeps_every_tensor(tmp_path):
    source = tiny(tmp_path / "a")
    wanted = load(source)
    (source / "model.safetensors").unlink()
    names = sorted(wanted)
    torch.save({name: wanted[name] for name in names[:2]}, source / "pytorch_model-00001-of-00002.bin")
    torch.save({name: wanted[name] for name in names[2:]}, source / "pytorch_model-00002-of-00002.bin")
    models.bin_to_safetensors(source, tmp_path / "b")
    found = load(tmp_path / "b")
    assert sorted(found) == names
    assert all(torch.equal(found[name], wanted[name]) for name in names)
    models.check_model_folder(tmp_path / "b")


def test_check_names_missing_files(tmp_path):
    tiny(tmp_path / "qwen")
    (tmp_path / "empty").mkdir()
    cases = {
        "qwn": ": no such folder, wanted a model folder; did you mean 'qwen'?",
        "empty": ": no config.json in the folder, wanted a model in the Hugging Face layout",
        "qwen": ": the tokenizer has no chat template (chat_template.jinja, or chat_template in "
        "tokenizer_config.json), and this model is talked to; take its instruction-tuned version or add a template",
    }
    for name, message in cases.items():
        with pytest.raises(RequestError) as caught:
            models.check_model_folder(tmp_path / name, chat=True)
        assert str(caught.value) == f"{tmp_path / name}{message}"


def internlm2(folder, hidden=128, heads=4, groups=2, layers=2, vocabulary=96):
    """A small InternLM2 checkpoint with random weights from one seed."""
    folder.mkdir()
    draw = torch.Generator().manual_seed(0)
    matrix = lambda *shape: torch.randn(shape, generator=draw) * 0.2  # noqa: E731
    tensors = {"model.tok_embeddings.weight": matrix(vocabulary, hidden), "output.weight": matrix(vocabulary, hidden)}
    tensors["model.norm.weight"] = 1 + matrix(hidden)
    for number in range(layers):
        layer = f"model.layers.{number}."
        tensors |= {
            f"{layer}attention.wqkv.weight": matrix((heads + 2 * groups) * hidden // heads, hidden),
            f"{layer}attention.wo.weight": matrix(hidden, hidden),
            f"{layer}feed_forward.w1.weight": matrix(192, hidden),
            f"{layer}feed_forward.w3.weight": matrix(192, hidden),
            f"{layer}feed_forward.w2.weight": matrix(hidden, 192),
            f"{layer}attention_norm.weight": 1 + matrix(hidden),
            f"{layer}ffn_norm.weight": 1 + matrix(hidden),
        }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["InternLM2ForCausalLM"],
        "auto_map": {"AutoConfig": "configuration_internlm2.InternLM2Config"},
        "bias": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": hidden,
        "intermediate_size": 192,
        "max_position_embeddings": 256,
        "model_type": "internlm2",
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "num_key_value_heads": groups,
        "rms_norm_eps": 1e-5,
        "rope_scaling": None,
        "rope_theta": 1000000,
        "tie_word_embeddings": False,
        "vocab_size": vocabulary,
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")
    return folder


ASK_EACH = """if True:
    import gc, json, os, sys
    os.environ |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "HF_HUB_OFFLINE": "1",
                   "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_LOGGING_LEVEL": "ERROR", "OMP_NUM_THREADS": "2"}
    import vllm
    from transformers import AutoConfig, PreTrainedConfig
    class InternLM2Config(PreTrainedConfig):
        model_type = "internlm2"
    AutoConfig.register("internlm2", InternLM2Config)
    prompts = [{"prompt_token_ids": [1, *range(5, 5 + n)]} for n in (1, 7, 40)]
    params = vllm.SamplingParams(temperature=0, max_tokens=24, logprobs=0, detokenize=False, ignore_eos=True)
    seen = {}
    for folder in sys.argv[1:]:
        llm = vllm.LLM(folder, dtype="float32", max_model_len=128, enforce_eager=True, skip_tokenizer_init=True,
                       max_num_seqs=8, generation_config="vllm")
        (kind,) = llm.apply_model(lambda model: type(model).__name__)
        found = [output.outputs[0] for output in llm.generate(prompts, params, use_tqdm=False)]
        seen[kind] = [[list(o.token_ids), [d[t].logprob for d, t in zip(o.logprobs, o.token_ids)]] for o in found]
        llm.llm_engine.engine_core.shutdown()
        del llm
        gc.collect()
    print(json.dumps(seen))
"""


@pytest.mark.real
def test_internlm2_as_llama_computes_the_same(tmp_path):
    import subprocess
    import sys

    source = internlm2(tmp_path / "internlm2")
    models.internlm2_to_llama(source, tmp_path / "llama")
    # One process for both: to import vLLM takes far longer than to ask two tiny models.
    command = [sys.executable, "-c", ASK_EACH, str(source), str(tmp_path / "llama")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    # vLLM's own InternLM2 class read the one, its Llama class the other.
    assert list(found) == ["InternLM2ForCausalLM", "LlamaForCausalLM"]
    for (tokens, values), (other_tokens, other_values) in zip(*found.values(), strict=True):
        assert tokens == other_tokens
        assert values == pytest.approx(other_values, abs=1e-4)


def test_internlm2_tensors_go_where_they_belong(tmp_path):
    models.internlm2_to_llama(internlm2(tmp_path / "a"), tmp_path / "b")
    old, new = load(tmp_path / "a"), load(tmp_path / "b")
    fused = old["model.layers.1.attention.wqkv.weight"]
    # Two groups of two queries, a key and a value, 32 rows each.
    layer = "model.layers.1.self_attn."
    assert torch.equal(new[f"{layer}q_proj.weight"], torch.cat([fused[:64], fused[128:192]]))
    assert torch.equal(new[f"{layer}k_proj.weight"], torch.cat([fused[64:96], fused[192:224]]))
    assert torch.equal(new[f"{layer}v_proj.weight"], torch.cat([fused[96:128], fused[224:]]))
    assert len(new) == len(old) + 2 * 2


def test_internlm2_refuses_another_model(tmp_path):
    with pytest.raises(RequestError) as caught:
        models.internlm2_to_llama(tiny(tmp_path / "a"), tmp_path / "b")
    assert str(caught.value) == f"{tmp_path / 'a'}: model_type is 'qwen2', wanted 'internlm2'"


TEXTS = ["the sea is green", " two  blanks ", "naïve 海\n\ttab", "12345 x", "<s>", "ab<|im_start|>user\nthe"]


@pytest.mark.parametrize("prefix", [False, True])
def test_fast_tokenizer_gives_sentencepieces_ids(tmp_path, prefix):
    spm = pytest.importorskip("sentencepiece")
    lines = ["the sea is green and the river is deep", "two houses, seven letters: write them", "why? then sum"] * 20
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_prefix=str(tmp_path / "t"),
        vocab_size=340,
        model_type="bpe",
        byte_fallback=True,
        add_dummy_prefix=prefix,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    official = spm.SentencePieceProcessor(model_file=str(tmp_path / "t.model"))
    fast = _fast_tokenizer(tmp_path / "t.model", {}, {"bos_token": "<s>", "eos_token": "</s>"})
    for text in TEXTS[:4]:
        ids = official.encode(text)
        assert fast.encode(text, add_special_tokens=False).ids == ids
        assert fast.encode(text).ids == [1, *ids]
        assert fast.decode(ids) == official.decode(ids)


def byte_level(folder, tokenizer_class="LlamaTokenizerFast"):
    """A folder whose tokenizer.json splits bytes, under the class name that DeepSeek's folders give it."""
    from tokenizers import Tokenizer, decoders, pre_tokenizers
    from tokenizers import models as kinds

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(kinds.BPE(vocab={c: i for i, c in enumerate(["<s>", "</s>", *alphabet])}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens(["<s>", "</s>"])
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    inner.save(str(folder / "tokenizer.json"))
    ends = {"bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": tokenizer_class} | ends))
    return folder


def test_a_byte_level_tokenizer_with_llamas_class_name_keeps_its_spaces(tmp_path):
    # transformers 5 gave it Llama's splitting: "the sea" came back as "thesea".
    tokenizer = models.load_tokenizer(byte_level(tmp_path / "a"))
    text = "the sea\n  is 海"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<s>", "</s>")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "config.json").write_text((tmp_path / "a" / "config.json").read_text())
    tokenizer.save_pretrained(tmp_path / "b")
    again = models.load_tokenizer(tmp_path / "b")
    assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert again.decode(tokenizer(text)["input_ids"]) == text


def test_a_tokenizer_that_no_class_can_read_is_refused(tmp_path):
    folder = byte_level(tmp_path / "a")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    # A token of which tokenizer.json knows nothing.
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"extra_special_tokens": ["sea"]}))
    with pytest.raises(RequestError) as caught:
        models.load_tokenizer(folder)
    assert str(caught.value) == (
        f"{folder}: transformers reads 'the sea  is green' as other tokens than tokenizer.json does, with class "
        "LlamaTokenizer as with PreTrainedTokenizerFast; take another copy of the model, or write tokenizer.json anew "
        "with the class that made it"
    )


TODAY = "{{ strftime_now('%d %b %Y') }}: {{ messages[0].content }}"
TODAY_UNLESS_TOLD = (
    "{% if not date_string is defined %}{% if strftime_now is defined %}{% set date_string = strftime_now('%d %b %Y') "
    "%}{% else %}{% set date_string = '26 Jul 2024' %}{% endif %}{% endif %}{{ date_string }}: "
    "{{ messages[0].content }}"
)


@pytest.mark.parametrize("template", [TODAY, TODAY_UNLESS_TOLD], ids=["always", "unless-told"])
def test_no_rendered_chat_contains_the_date(tmp_path, template):
    # Llama-3.2-Instruct's template wrote today's date into every prompt.
    tokenizer = models.load_tokenizer(byte_level(tmp_path / "a"))
    tokenizer.chat_template = template
    assert models.render(tokenizer, [{"role": "user", "content": "hi"}]) == "26 Jul 2024: hi"
