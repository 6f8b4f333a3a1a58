import hashlib
import re
from pathlib import Path

import pytest

from kit.errors import RequestError
from kit.prompts import PLACEHOLDERS, Templates, fill, fingerprint, hash_of, load, only, paper, pins
from kit.records import Turn

EVOLVE = [
    f"evol_instruct.{way}" for way in ("add_constraint", "deepen", "concretize", "add_reasoning_steps", "breadth")
]
ASK = ["respond.with_input", "respond.without_input", "humaneval", "mbpp", "gsm8k", "math"]


def user(text: str) -> tuple[Turn, ...]:
    return (Turn(role="user", content=text),)


@pytest.mark.parametrize(
    ("template", "values", "wanted"),
    [
        pytest.param("Do {instruction}.", {"instruction": "it"}, "Do it.", id="one"),
        pytest.param("{input}{input}", {"input": "ab"}, "abab", id="twice"),
        # a value used to be filled in again when it held the name of a later placeholder
        pytest.param("{instruction} {input}", {"instruction": "{input}", "input": "x"}, "{input} x", id="one-pass"),
        pytest.param(
            r"\frac{a}{b} {{x}} {} {0} {problem}", {"problem": "p"}, r"\frac{a}{b} {{x}} {} {0} p", id="braces"
        ),
        pytest.param("{prompt}", {"prompt": "p", "entry_point": "f"}, "p", id="a-value-too-many"),
        pytest.param("{question}", {"question": r"\1 \g<0>"}, r"\1 \g<0>", id="backslashes"),
    ],
)
def test_fill(template: str, values: dict[str, str], wanted: str) -> None:
    assert fill(user(template), values) == user(wanted)


def test_fill_names_what_is_missing() -> None:
    with pytest.raises(
        RequestError, match=re.escape("a prompt has the placeholder {input} and no value for it; given: ")
    ):
        fill(user("{input}"), {"instruction": "x"})


def test_fill_misses_a_value_whose_name_is_misspelt() -> None:
    with pytest.raises(RequestError) as error:
        fill(user("{question}"), {"questoin": "x"})
    assert str(error.value) == "a prompt has the placeholder {question} and no value for it; given: questoin"


def test_a_benchmark_may_bring_placeholders_of_its_own() -> None:
    # a list in the core had to be edited for each
    assert fill(user("{question} {choices} {other}"), {"question": "x", "choices": "A B"}) == user("x A B {other}")


def test_fill_keeps_every_turn_and_role() -> None:
    turns = (*user("{text}"), Turn(role="assistant", content="[BEGIN]\n"))
    assert [turn.role for turn in fill(turns, {"text": "t"})] == ["user", "assistant"]


def test_the_kits_own_pack_has_what_the_stages_ask_for() -> None:
    pack = load("kit")
    assert pack.name == "kit"
    for id in EVOLVE:
        (turn,) = pack.chat(id)
        assert turn.role == "user"
        assert turn.content.count("{instruction}") == 1
        assert turn.content.endswith("Do not solve it.")
    for id in ASK:
        assert fill(pack.chat(id), dict.fromkeys(PLACEHOLDERS, "v"))
    assert r"\boxed{}" in pack.chat("math")[0].content


def test_an_unknown_template_is_named_with_its_pack() -> None:
    with pytest.raises(RequestError) as error:
        load("kit").chat("evol_instruct.depen")
    assert str(error.value) == (
        "prompt pack 'kit' has no template 'evol_instruct.depen'; did you mean 'evol_instruct.deepen'?;"
        " a manifest may name another pack for this job"
    )


def test_an_unknown_pack_is_named() -> None:
    with pytest.raises(RequestError) as error:
        load("papper")
    assert str(error.value) == "no prompt pack named 'papper'; did you mean 'paper'?"


def test_the_hash_depends_on_every_word_and_not_on_the_order() -> None:
    first, second = {"a": user("x"), "b": user("y")}, {"b": user("y"), "a": user("x")}
    assert hash_of(first) == hash_of(second)
    assert hash_of(first) != hash_of({"a": user("x"), "b": user("y ")})
    assert hash_of(first) != hash_of({"a": user("x"), "b": (Turn(role="assistant", content="y"),)})
    # joined without borders, ("ab", "c") and ("a", "bc") used to be one
    assert hash_of({"ab": user("c")}) != hash_of({"a": user("bc")})


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def made_up_pins(source: str) -> pins.Pins:
    """The paper's pins, of one file that this test can write: ``a.py`` with one prompt."""
    prompt = pins.Pin(
        id="p", file="a.py", placeholders=("query",), name="ASK", rendered_sha256=sha256("Say <<query>>.")
    )
    files = {"a.py": sha256(PAPER_FILE)}
    return pins.Pins(source="some/where", revision="c0ffee", url="", files=files, prompts=(prompt,))


PAPER_FILE = 'ASK = "Say {query}."\n'


@pytest.fixture
def papers_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the one file of :func:`made_up_pins`."""
    monkeypatch.setattr(pins, "read", made_up_pins)
    (tmp_path / "a.py").write_text(PAPER_FILE, encoding="utf-8")
    return tmp_path


def test_the_papers_pack_is_read_from_its_folder(papers_folder: Path) -> None:
    assert load("paper", papers_folder) == Templates(name="paper", templates={"p": user("Say {query}.")})


def test_the_papers_pack_without_a_folder_is_refused(papers_folder: Path) -> None:
    with pytest.raises(RequestError) as error:
        load("paper")
    assert str(error.value) == (
        "prompt pack 'paper': its files are fetched, not shipped (the authors' repository has no licence);"
        " fetch them first, or choose the pack 'kit'"
    )


def test_each_pack_is_read_from_its_own_source(papers_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kit.prompts.opencompass.read", lambda: {"o": user("of OpenCompass")})
    assert load("opencompass") == Templates(name="opencompass", templates={"o": user("of OpenCompass")})
    # a folder is the paper's alone
    assert load("opencompass", papers_folder).name == "opencompass"
    assert "evol_instruct.deepen" in load("kit", papers_folder).templates  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["kit", "opencompass", "paper"])
def test_a_job_that_uses_no_template_has_no_hash_of_one(name: str) -> None:
    # a benchmark without templates would have moved with every pack
    assert fingerprint(name, ()) is None
    assert fingerprint(name, []) is None


def test_a_fingerprint_by_hand(papers_folder: Path) -> None:
    text = (Path(paper.__file__).parent / "gsm8k.txt").read_text(encoding="utf-8").removesuffix("\n")
    rows = f'[["gsm8k",[["user",{quoted(text)}]]]]'
    assert fingerprint("kit", ("gsm8k",)) == sha256(rows)
    # the paper's by its pins: id, placeholders, hash of the rendered text
    rendered = sha256("Say <<query>>.")
    assert fingerprint("paper", ("p",)) == sha256(f'[["p",["query"],"{rendered}"]]')


def quoted(text: str) -> str:
    """A text as JSON writes it, for what the kit's own template holds."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def test_only_what_a_job_may_use_is_left() -> None:
    pack = only(load("kit"), ("gsm8k", "math"))
    assert list(pack.templates) == ["gsm8k", "math"]  # type: ignore[attr-defined]
    assert pack.chat("math") == load("kit").chat("math")
