"""Manifests made to stall or to mislead: each is refused in a sentence with the file and the key, before any work."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kit.reading.documents import Strict, parse
from tests.growth import assert_linear
from tests.test_bad_manifests import MANIFEST, refused

__all__ = ["refused"]  # the fixture: what `kit run my.toml` says

MODEL = """
[models.{name}]
{source}
parameters = 100
layers = {layers}
hidden = 64
intermediate = 64
heads = 4
kv_heads = 4
vocab = 100
context = 100
chat = true
licence = "mine"
"""
EVOLVER = 'evolver = ["smollm2-135m-instruct"]'
FILE = 'file = "seeds.json"'
ROWS = 'mine = { dataset = "mine" }'
DEEP = "; no manifest has tables that deep"


def change(good: str, bad: str) -> str:
    """Return the manifest of these tests with one change."""
    assert good in MANIFEST
    return MANIFEST.replace(good, bad, 1)


def with_models(*models: tuple[str, str], layers: int = 2) -> str:
    """Return the manifest with the user's own models (name and source of each); the first one evolves."""
    tables = "".join(MODEL.format(name=name, source=source, layers=layers) for name, source in models)
    return change(EVOLVER, f'evolver = ["{models[0][0]}"]') + tables


def stack(model: str, layers: str = '"0-1"') -> str:
    return f'stack = {{ model = "{model}", layers = [{layers}] }}'


# The parser called itself for each bracket (RecursionError), and took minutes for a key of 100,000 parts.
NESTS = {
    "dots in a key": (f"{'.'.join('a' * 100_000)} = 1", f"line 33: more than 20 keys joined by dots{DEEP}"),
    "dots in a header": (f"[{'.'.join('a' * 100_000)}]", f"line 33: more than 20 keys joined by dots{DEEP}"),
    "dots after quotes": (f'"a"{".b" * 50_000} = 1', f"line 33: more than 20 keys joined by dots{DEEP}"),
    "lists": (f"x = {'[' * 100_000}", f"line 33: more than 20 brackets in each other{DEEP}"),
    "lists that end": (f"x = {'[' * 900}{']' * 900}", f"line 33: more than 20 brackets in each other{DEEP}"),
    "tables": (f"x = {'{a=' * 100_000}", f"line 33: more than 20 brackets in each other{DEEP}"),
    "both by turns": (f"x = {'[{a=' * 9_000}", f"line 33: more than 20 brackets in each other{DEEP}"),
}


@pytest.mark.parametrize("line, message", NESTS.values(), ids=list(NESTS))
def test_nested_tables_and_lists(line: str, message: str, refused: Callable[[str | bytes], str]):
    assert refused(f"{MANIFEST}\n{line}\n") == f"my.toml: {message}"


LE = "input should be less than or equal to"
GE = "input should be greater than or equal to"
# Each went into the plan: loops of a billion rounds, sums beyond a float, or a failure in the worker.
NUMBERS = {
    "rows": (
        ROWS,
        'mine = { dataset = "mine", rows = 1' + 30 * "0" + " }",
        "seeds.mine.rows",
        f"{LE} 1000000000, found 1" + 30 * "0",
    ),
    "rows, hexadecimal": (
        ROWS,
        'mine = { dataset = "mine", rows = 0x' + 9999 * "f" + " }",
        "seeds.mine.rows",
        f"{LE} 1000000000, found a whole number of about 12,040 digits",
    ),
    "rows, no whole number": (
        ROWS,
        'mine = { dataset = "mine", rows = 1e400 }',
        "seeds.mine.rows",
        "input should be a valid integer, found inf",
    ),
    "rounds": ("round = 2", "round = 1_000_000_000", "experiment[0].round", f"{LE} 100, found 1000000000"),
    "a round below 0": ("round = 2", "round = [2, -1]", "experiment[0].round[1]", f"{GE} 0, found -1"),
    "a round, hexadecimal": (
        "round = 2",
        "round = 0x" + 5000 * "f",
        "experiment[0].round",
        f"{LE} 100, found a whole number of about 6,021 digits",
    ),
    "seed below 0": ("seed = 42", "seed = -1", "experiment[0].seed", f"{GE} 0, found -1"),
    "seed": ("seed = 42", "seed = 4294967296", "experiment[0].seed", f"{LE} 4294967295, found 4294967296"),
    "epochs": ("epochs = 1", "epochs = 2_000_000_000", "experiment[0].sft.epochs", f"{LE} 1000, found 2000000000"),
    "tokens": (
        "max_tokens = 8",
        "max_tokens = 9" + 18 * "0",
        "experiment[0].evolve.max_tokens",
        f"{LE} 100000000, found 9" + 18 * "0",
    ),
    "batch": (
        "global_batch_size = 4",
        "global_batch_size = 1000001",
        "experiment[0].sft.global_batch_size",
        f"{LE} 1000000, found 1000001",
    ),
    "learning rate": ("2e-5", "1e400", "experiment[0].sft.learning_rate", "input should be a finite number, found inf"),
    "learning rate, nan": (
        "2e-5",
        "nan",
        "experiment[0].sft.learning_rate",
        "input should be a finite number, found nan",
    ),
    "learning rate, 5": ("2e-5", "5.0", "experiment[0].sft.learning_rate", f"{LE} 1, found 5.0"),
    "schema": (
        "schema = 1",
        "schema = 0x" + 5000 * "f",
        "schema",
        "found a whole number of about 6,021 digits, this kit reads schema = 1",
    ),
}


@pytest.mark.parametrize("good, bad, key, message", NUMBERS.values(), ids=list(NUMBERS))
def test_numbers(good: str, bad: str, key: str, message: str, refused: Callable[[str | bytes], str]):
    assert refused(change(good, bad)) == f"my.toml: {key}: {message}"


def test_a_number_of_ten_thousand_digits(refused: Callable[[str | bytes], str]):
    """Such a number ended in a traceback: Python converts at most 4,300 digits."""
    text = change(ROWS, 'mine = { dataset = "mine", rows = ' + 10_000 * "9" + " }")
    assert refused(text) == "my.toml: a whole number of more than 4,300 digits; no key takes one"


SMOLLM = "smollm2-135m-instruct"


WHOLE = {
    # "seed format" was told by the worker, after the models were fetched
    "format": (
        change('format = "alpaca"', 'format = "alpca"'),
        "datasets.mine.format: no seed format named 'alpca'; did you mean 'alpaca'?",
    ),
    # one of the two was dropped in silence
    "an evolver twice": (
        change(EVOLVER, f'evolver = ["{SMOLLM}", "{SMOLLM}"]'),
        "experiment[0]: evolver: 'smollm2-135m-instruct' stands twice",
    ),
    "a hundred thousand evolvers": (
        change(EVOLVER, "evolver = [" + 100_000 * '"a",' + "]"),
        "experiment[0].evolver: list should have at most 100 items after validation, not 100000, found "
        "['a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', ...]",
    ),
    "a title of a megabyte": (
        change('title = "mine"', f'title = "{500_000 * "x"}"'),
        f"title: string should have at most 300 characters, found '{117 * 'x'}...'",
    ),
    "a zero byte in a key": (
        MANIFEST + '\n"a\\u0000b" = 1\n',
        "experiment[0].sft: a text with a zero byte; no name, path or text of a manifest has one",
    ),
    "more than a megabyte": (
        MANIFEST + f"#{2**20 * 'x'}",
        "more than 1,048,576 bytes, which no such file has; is it the right one?",
    ),
    "UTF-16": (MANIFEST.encode("utf-16"), "UTF-16 text; save the file as UTF-8"),
    "a program": (b"\x7fELF" + bytes(range(256)), "line 2: byte 117 (0x80) is not UTF-8; save the file as UTF-8"),
}


@pytest.mark.parametrize("text, message", WHOLE.values(), ids=list(WHOLE))
def test_other_values_that_are_refused(text: str | bytes, message: str, refused: Callable[[str | bytes], str]):
    assert refused(text) == f"my.toml: {message}"


def test_twenty_of_many_faults_are_reported(refused: Callable[[str | bytes], str]):
    """Each fault had a line, and each searched all keys for the closest."""
    lines = refused(MANIFEST + "".join(f"\nkey{n} = 1" for n in range(5000)) + "\n").splitlines()
    assert lines[0].startswith("my.toml: experiment[0].sft.key0: no such key; known: epochs, ")
    assert (len(lines), lines[-1]) == (21, "my.toml: 4,980 more faults")


def test_a_model_with_a_name_of_90_characters_is_not_compared_letter_by_letter(refused: Callable[[str | bytes], str]):
    """Time grew with the square of the names' length; of many known names the message lists the first, cut."""
    text = with_models((90 * "a", 'folder = "x"')).replace(f'evolver = ["{90 * "a"}"]', f'evolver = ["{9000 * "ab"}"]')
    start = f"my.toml: experiment[0].evolver[0]: no model named '{58 * 'ab'}a...'; known: {57 * 'a'}..., all-mpnet"
    assert refused(text).startswith(start)


def test_a_table_has_at_most_five_thousand_cells(
    refused: Callable[[str | bytes], str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("kit.plan.planning.MOST_CELLS", 3)
    text = change('benchmarks = ["gsm8k"]', 'benchmarks = ["gsm8k", "mbpp", "humaneval", "ifeval"]')
    assert refused(text) == (
        "my.toml: experiment: 4 combinations of axes and benchmarks; 3 are the most, split it into several manifests"
    )
    view = '\n[[view]]\nrows = { base = ["a", "b"], seed = [1, 2] }\ncolumns = [{ measures = ["gsm8k"] }]\n'
    assert refused(MANIFEST + view) == (
        "my.toml: view[0]: 4 combinations of rows and measures; 3 are the most, split it into several manifests"
    )


def test_a_product_of_a_hundred_lists_is_refused_at_once(refused: Callable[[str | bytes], str]):
    """The product of such lists can not be built in any time."""
    many = ", ".join(f"0.{n:03}" for n in range(1, 101))
    text = change("temperature = 0.7", f"temperature = [{many}], top_p = [{many}]").replace(
        "seed = 42", "seed = [1, 2]"
    )
    text = text.replace("learning_rate = 2e-5", f"learning_rate = [{many}]")
    assert refused(text) == (
        "my.toml: experiment: 2,000,000 combinations of axes and benchmarks; 5,000 are the most, split it into several "
        "manifests"
    )


OWN = {
    "table-2": "its table would be 'table-2', as the kit's own; rename the file",
    "figure-1": "its table would be 'figure-1', as the kit's own; rename the file",
    101 * "x": "its table is named as the file is; wanted 100 characters at most, and none that can't be seen",
    "a\u202eb": "its table is named as the file is; wanted 100 characters at most, and none that can't be seen",
}


@pytest.mark.parametrize("name", OWN)
def test_a_manifest_can_not_have_the_name_of_one_of_the_kits(name: str, tmp_path: Path):
    """A user's table-2.toml let ``kit verify --record`` overwrite the values of the kit's own Table 2."""
    from kit.errors import RequestError
    from kit.plan.planning import plan_manifest

    (tmp_path / f"{name}.toml").write_text(MANIFEST)
    with pytest.raises(RequestError) as error:
        plan_manifest(tmp_path / f"{name}.toml")
    shown = name.replace("\u202e", "\\u202e")
    assert str(error.value) == f"{tmp_path}/{shown}.toml: {OWN[name]}"


class Texts(Strict):
    """A strict document of two texts in a list."""

    x: list[str]


TEXTS = {
    "four quotation marks at the end": 'x = ["""a"""", """b"""""]',
    "two at the start": "x = ['''''a''', '''b]''']",
    "brackets in texts": f"x = [\"{50 * '['}\", '{50 * '{'}'] # {50 * '['}",
    "dots in texts": f'x = ["{50 * "a."}", "\\"{50 * "."}"]',
    "many lines": "x = [\n" + 30 * '  """a\n[[[""",\n' + "]",
    "many after each other": "x = [" + 30 * '"a", ' + "]",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=list(TEXTS))
def test_brackets_and_dots_in_texts_do_not_count(text: str):
    import tomllib

    assert parse(Texts, text, "x").x == tomllib.loads(text)["x"]


GROW = {
    "keys of 20 parts": lambda n: (".".join("a" * 19) + ".b{} = 1\n") * (n // 40),
    "lines": lambda n: "\n" * n,
    "a text of escapes": lambda n: 'x = "' + n // 6 * "\\u0041" + '"',
    "an open text of quotes": lambda n: 'x = """' + '""\\' * (n // 3),
    "backslashes": lambda n: 'x = "' + "\\" * n,
    "brackets that close": lambda n: "x = [" + "[]," * (n // 3) + "]",
    "tables": lambda n: "[[a.b.c]]\nx = 1\n" * (n // 16),
}


@pytest.mark.parametrize("make", GROW.values(), ids=list(GROW))
def test_reading_takes_time_that_grows_with_the_text(make: Callable[[int], str]):
    from kit.errors import RequestError

    def read(text: str) -> None:
        try:
            parse(Texts, text, "x")
        except RequestError:
            return

    assert_linear(read, make, 5_000)
