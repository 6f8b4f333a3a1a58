"""Embeddings by sentence-transformers' own modules, of a folder that it wrote and of a text generator's."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from kit.errors import RequestError
from kit.neighbours.embedder import MODULES, module_folders, open_embedder

ROOT = Path(__file__).resolve().parents[1]
TEXTS = ["Name a river.", "Name a river in Asia, and say why it is long.", "x", "Name a river.", "Count to ten. " * 20]
ENTRY = "sentence_transformers.models."
WANTED = "wanted Transformer, Pooling, Normalize, of sentence-transformers, in this order"


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text generator of random weights: a token a byte, and a chat template."""
    spec = importlib.util.spec_from_file_location("tiny_model", ROOT / "tiny_model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("generator") / "model"
    module.save(folder)
    return folder


@pytest.fixture(scope="module")
def encoder(generator: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MPNet of random weights, in a folder as all-mpnet-base-v2's is."""
    import torch
    from transformers import AutoTokenizer, MPNetConfig, MPNetModel

    folder = tmp_path_factory.mktemp("encoder") / "model"
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = MPNetConfig(vocab_size=264, max_position_embeddings=66, pad_token_id=1, **sizes)
    MPNetModel(config).save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(generator, trust_remote_code=False)
    tokenizer.pad_token = "</s>"
    tokenizer.chat_template = None
    tokenizer.save_pretrained(folder)
    write_modules(folder, *MODULES)
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 48, "do_lower_case": false}')
    (folder / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 16, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder


def write_modules(folder: Path, *names: str) -> None:
    """Write the list of modules as sentence-transformers does."""
    places = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
    entries = [
        {"idx": number, "name": str(number), "path": places.get(name, ""), "type": f"{ENTRY}{name}"}
        for number, name in enumerate(names)
    ]
    (folder / "modules.json").write_text(json.dumps(entries))


def averaged(folder: Path, text: str, longest: int) -> Any:
    """The mean of the last hidden states over the tokens, brought to length 1, without sentence-transformers."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = (
        AutoModel.from_pretrained(folder, dtype=torch.float32, trust_remote_code=False).eval(),
        AutoTokenizer.from_pretrained(folder, trust_remote_code=False),
    )
    with torch.inference_mode():
        ids = tokenizer(text, return_tensors="pt", truncation=True, max_length=longest)
        mean = model(input_ids=ids["input_ids"]).last_hidden_state[0].mean(dim=0)
    return (mean / mean.norm()).tolist()


@pytest.mark.filterwarnings("ignore")  # other packages' own, as they are imported
@pytest.mark.parametrize(
    ("kind", "asked", "longest"), [("generator", 40, 40), ("encoder", None, 48)], ids=["a generator", "an encoder"]
)
def test_the_mean_of_the_last_states(kind: str, asked: int | None, longest: int, request: pytest.FixtureRequest):
    pytest.importorskip("sentence_transformers")
    folder = request.getfixturevalue(kind)
    opened = open_embedder(folder, max_tokens=asked)
    told: list[int] = []
    found = opened.embed(TEXTS, told.append)
    assert opened.max_tokens == longest
    assert found.vectors.dtype == "float32"
    for place, text in enumerate(TEXTS):  # each in its place, and as it is, not in the words of a chat
        assert found.vectors[place].tolist() == pytest.approx(averaged(folder, text, longest), abs=1e-5)
    assert found.vectors[3].tolist() == found.vectors[0].tolist()
    assert [count > longest for count in found.tokens][2:] == [False, False, True]
    assert told == [4]  # a text that stands there twice is embedded once


LISTS = {
    "as it is written": (MODULES, dict(zip(MODULES, (None, "1_Pooling", "2_Normalize"), strict=True))),
    "not brought to length 1": (MODULES[:2], {"Transformer": None, "Pooling": "1_Pooling"}),
}


@pytest.mark.parametrize(("names", "wanted"), LISTS.values(), ids=list(LISTS))
def test_the_modules_of_a_folder(names: tuple[str, ...], wanted: dict[str, str | None], tmp_path: Path):
    write_modules(tmp_path, *names)
    assert module_folders(tmp_path) == wanted


def test_a_generator_names_none(tmp_path: Path):
    assert module_folders(tmp_path) == dict.fromkeys(MODULES)


OTHERS = {
    "another module": (
        f'[{{"type": "{ENTRY}Dense", "path": ""}}]',
        f"found the module '{ENTRY}Dense', {WANTED}; no code of a folder is run",
    ),
    "code of its own": (
        '[{"type": "mine.Pooling", "path": ""}]',
        f"found the module 'mine.Pooling', {WANTED}; no code of a folder is run",
    ),
    "a name that only looks like the library's": (
        '[{"type": "sentence_transformers_x.models.Pooling", "path": ""}]',
        f"found the module 'sentence_transformers_x.models.Pooling', {WANTED}; no code of a folder is run",
    ),
    "another order": (
        f'[{{"type": "{ENTRY}Pooling", "path": "1_Pooling"}}, {{"type": "{ENTRY}Transformer", "path": ""}}]',
        f"found Pooling, Transformer, {WANTED}",
    ),
    "none": ("[]", f"found no module, {WANTED}"),
    "a path out of the folder": (
        f'[{{"type": "{ENTRY}Pooling", "path": "../1_Pooling"}}]',
        "found the path '../1_Pooling', wanted a folder beside it",
    ),
    "no list": ("7", "no list of modules with a type and a path; is it the model's own file?"),
    "no JSON": ("[", "no list of modules with a type and a path; is it the model's own file?"),
}


@pytest.mark.parametrize(("text", "message"), OTHERS.values(), ids=list(OTHERS))
def test_modules_that_are_not_known_are_refused(text: str, message: str, tmp_path: Path):
    (tmp_path / "modules.json").write_text(text)
    with pytest.raises(RequestError) as caught:
        module_folders(tmp_path)
    assert str(caught.value) == f"{tmp_path / 'modules.json'}: {message}"


@pytest.mark.filterwarnings("ignore")
def test_a_folder_that_lacks_weights_is_refused(encoder: Path, tmp_path: Path):
    pytest.importorskip("sentence_transformers")
    import shutil

    from safetensors.torch import load_file, save_file

    folder = tmp_path / "model"
    shutil.copytree(encoder, folder)
    tensors = load_file(folder / "model.safetensors")
    (name,) = [one for one in tensors if one.endswith("layer.1.attention.attn.q.weight")]
    del tensors[name]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RequestError) as caught:
        open_embedder(folder)
    assert str(caught.value) == (
        f"{folder}: {name} is missing, and the MPNetModel that config.json describes needs it; do config.json and the "
        "weights belong together?"
    )
