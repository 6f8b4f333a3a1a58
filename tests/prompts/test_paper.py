import hashlib
import os
from pathlib import Path

import pytest

from kit.errors import RequestError
from kit.prompts import load, paper, pins
from kit.prompts.literals import Source

AUTHORS = os.environ.get("KIT_AUTHORS_DIR", "")
MADE_UP = '''
HEAD = ("Say it " "again.\\n" + "{how}\\n")
WHOLE = """Compare {one} with {two}; reply {{"same": 1}}."""

def loud(instruction: str) -> str:
    """Build a prompt."""
    how = "Loudly."
    return helper(instruction, how=how)

def helper(instruction, how):
    text = HEAD.format(how=how)
    text += f"Now: {instruction}!"
    return text

def strange(instruction):
    return open(instruction).read()

class Runner:
    def run(self, item, question):
        a = f"First {item['x']}, then {question}."
        b = (
            "Task: {}\\n"
            "On: {}\\n"
        ).format(item, question)
'''


def pin(text: str, **place: object) -> pins.Pin:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return pins.Pin(id="p", file="f.py", rendered_sha256=digest, **place)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("place", "rendered", "wanted"),
    [
        pytest.param(
            {"function": "loud", "placeholders": ("instruction",)},
            "Say it again.\nLoudly.\nNow: <<instruction>>!",
            "Say it again.\nLoudly.\nNow: {instruction}!",
            id="function-helper-format-fstring",
        ),
        pytest.param(
            {"name": "WHOLE", "placeholders": ("one", "two")},
            'Compare <<one>> with <<two>>; reply {"same": 1}.',
            'Compare {one} with {two}; reply {"same": 1}.',
            id="module-level-name",
        ),
        pytest.param(
            {"line": 20, "placeholders": ("constraint", "query")},
            "First <<constraint>>, then <<query>>.",
            "First {constraint}, then {query}.",
            id="fstring-at-line",
        ),
        pytest.param(
            {"line": 22, "placeholders": ("instruction", "input")},
            "Task: <<instruction>>\nOn: <<input>>\n",
            "Task: {instruction}\nOn: {input}\n",
            id="format-at-line",
        ),
    ],
)
def test_reads_each_shape(place: dict[str, object], rendered: str, wanted: str) -> None:
    assert paper.template(Source(MADE_UP, "f.py"), pin(rendered, **place)) == wanted


def test_a_prompt_that_reads_otherwise_is_refused() -> None:
    with pytest.raises(RequestError, match=r"^f.py: prompt 'p' reads as sha256 .*; the reader and the file disagree$"):
        paper.template(Source(MADE_UP, "f.py"), pin("other", function="loud", placeholders=("instruction",)))


@pytest.mark.parametrize(
    ("place", "message"),
    [
        pytest.param(
            {"function": "strange", "placeholders": ("instruction",)},
            "f.py:16: found 'open(instruction).read()', which is no plain string building; the reader runs no code",
            id="no-code-is-run",
        ),
        pytest.param({"function": "gone", "placeholders": ()}, "f.py: no module-level function 'gone'", id="function"),
        pytest.param({"name": "GONE", "placeholders": ()}, "f.py: no module-level assignment to 'GONE'", id="name"),
        pytest.param({"line": 4, "placeholders": ()}, "f.py:4: 0 strings begin here, wanted one", id="line"),
        pytest.param(
            {"line": 20, "placeholders": ("a", "b", "c")}, "f.py:20: 1 values fewer than pinned", id="too-few-values"
        ),
    ],
)
def test_what_cannot_be_read_is_named(place: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError) as error:
        paper.template(Source(MADE_UP, "f.py"), pin("", **place))
    assert str(error.value) == message


def test_without_the_fetched_files_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="its files are fetched, not shipped"):
        load("paper")
    with pytest.raises(
        RequestError, match=r"breadth.py: No such file or directory; wanted Evol_Instruct/breadth.py of"
    ):
        load("paper", tmp_path)


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Evol_Instruct").mkdir()
    (tmp_path / "Evol_Instruct/breadth.py").write_text("x = 1\n", encoding="utf-8")
    with pytest.raises(RequestError, match=r"sha256 is .*…, prompts.toml says e9faf3e1a94e…; the file is not that of"):
        load("paper", tmp_path)


def test_the_manifest_holds_facts_for_eleven_files_and_fifteen_prompts() -> None:
    files = paper.files()
    assert len(files) == 11
    assert len(pins.read("paper").prompts) == 15
    address, sha256 = files["Evol_Instruct/depth.py"]
    assert address.endswith(
        "/HypherX/Evolution-Analysis/7595feb5155caf3da63f982a1f507304a60415a1/Evol_Instruct/depth.py"
    )
    assert len(sha256) == 64


@pytest.mark.skipif(not AUTHORS, reason="KIT_AUTHORS_DIR does not name a folder with the authors' files")
def test_reads_all_fifteen_from_the_authors_files() -> None:
    pack = load("paper", Path(AUTHORS))
    for wanted in pins.read("paper").prompts:  # each was held against rendered_sha256 while it was read
        (turn,) = pack.chat(wanted.id)
        assert all(f"{{{name}}}" in turn.content for name in wanted.placeholders)
