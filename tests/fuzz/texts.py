"""Texts as a model may write them, by accident or not: made from a grammar, kept as recipes.

A recipe is a text, a list of recipes (joined), or a table:

    {"of": recipe, "times": 60000}      the same again and again
    {"of": recipe, "until": 100}        cut off after so many characters
    {"field": "solution"}               a text of the problem's own: its reference, its prompt, its tests
"""

from collections.abc import Mapping
from random import Random
from typing import Any

Recipe = Any
MOST_TIMES = 60_000
MOST_CHARACTERS = 250_000
"""A text is cut off here; no model of the kit's scales writes more than a quarter of it."""

FENCES = ("```", "```python\n", "```py\n", "```\n", "~~~\n", "````\n", "\n```\n", "```python", "``", "`", "'''", '"""')
MARKS = (
    *(
        "[BEGIN]",
        "[DONE]",
        "BEGIN",
        "DONE",
        "[BEGIN]\n'",
        "'\n[DONE]",
        "'DONE",
        "[DONE",
        "\n[DONE]\n",
        "####",
        "#### ",
        "\n#### ",
    ),
    *(
        "### Answer:",
        "# ",
        "Question:",
        "Q:",
        "A:",
        "Answer:",
        "The answer is",
        "the final answer is: ",
        "Final answer:",
        "Therefore",
    ),
    *("Problem:", "Solution:", "Step 1:", "<think>", "</think>", "<answer>", "</answer>"),
)
CHAT = (
    "<|im_start|>",
    "<|im_end|>",
    "<|im_start|>user\n",
    "<s>",
    "</s>",
    "[INST]",
    "[/INST]",
    "<|eot_id|>",
    "### Human:",
    "User:",
    "\nHuman: ",
)
LATEX = (
    *(
        r"\boxed{",
        r"\boxed{1}",
        r"\boxed",
        r"\fbox{",
        "oxed{",
        r"\text{",
        r"\text{(",
        r"\mbox{",
        r"\frac",
        r"\frac{1}{2}",
        r"\dfrac12",
    ),
    *(
        r"\sqrt",
        r"\sqrt{2}",
        r"\left(",
        r"\right)",
        r"\(",
        r"\)",
        r"\[",
        r"\]",
        "$",
        "$$",
        "{",
        "}",
        "^",
        "_",
        "^{",
        "9^{9^{9^9}}",
    ),
    *(
        r"\\",
        "\\",
        r"\begin{pmatrix}",
        r"\end{pmatrix}",
        "&",
        r"\cdot",
        r"\pi",
        r"\%",
        r"\$",
        r"1{,}000",
        r"\infty",
        r"^\circ",
        "!",
    ),
    *(
        r"\begin{align*}",
        r"\frac{",
        r"\displaystyle",
        r"x \in [0,1)",
        r"\mathrm{cm}^2",
        "5_{10}",
        r"\ldots",
        "2 + 3i",
        "1.0",
        ".0",
        "00",
    ),
)
NUMBERS = (
    "0",
    "1",
    "-1",
    "42",
    "3.14",
    "1,000",
    "1 000",
    "1e9",
    "1/2",
    "٣",
    "²",
    "½",
    "9" * 30,
    "0.5",
    ",",
    ".",
    "-",
    "%",
    "$5",
    "=",
    "Ⅷ",
)
JSON = ('{"a": ', "[", "]", "{", "}", '"', "null", "1, ", '{"a": 1}', "[[", "}}", ":", '\\"', "\\u0000", "```json\n")
LISTS = (
    "* ",
    "- ",
    "\n* ",
    "\n- ",
    "1. ",
    "\n2) ",
    "• ",
    "***",
    "---",
    "\n\n",
    "<<",
    ">>",
    "<<title>>",
    "[name]",
    "[",
    "[address]",
    "{x}",
    "__",
    "**",
)
WRITING = (
    *(
        "P.S.",
        "P.P.S",
        "\nP.S. ",
        "p. s.",
        "P.",
        '"',
        "'",
        "“",
        "”",
        "SECTION 1",
        "Paragraph 1",
        "* * *",
        "******",
        "Dear",
        "My answer is yes.",
        "\n***\n",
    ),
    *(
        "the",
        "The quick brown fox",
        "ALL CAPS",
        "lower",
        "¿Qué?",
        "ein Wort",
        "これは",
        "العربية",
        "Привет",
        "e.g.",
        "Dr. ",
        "...",
        "?",
        "!",
        ";",
        "No.",
        "a" * 50,
    ),
)
SPACES = (
    " ",
    "  ",
    "\n",
    "\n\n",
    "\t",
    "\r\n",
    "\r",
    "\v",
    "\f",
    "\x1c",
    "\x85",
    "\u00a0",
    "\u2028",
    "\u2029",
    "\u3000",
    "\u200b",
    " \n",
    "\n ",
)
UNICODE = (
    *(
        "\x00",
        "\x1b[31m",
        "\x07",
        "\x7f",
        "\ud83d",
        "\ude00",
        "\ud83d\ude00",
        "\udc80",
        "\ufeff",
        "\ufffd",
        "\uffff",
        "\U0010ffff",
        "\u202e",
        "\u2066",
        "\u200d",
    ),
    *(
        "\N{COMBINING ACUTE ACCENT}",
        "e\u0301\u0323",
        "ﬀ",
        "İ",
        "ß",
        "ǅ",
        "👩\u200d👩\u200d👧",
        "🇩🇪",
        "가",
        "ᄀ",
        "\U0001d7d8",
        "𝒙",
        "x\ufe0f",
        "\u0378",
        "अ\u094d",
    ),
)
CODE = (
    *(
        "def f(x):\n    return x\n",
        "def f(",
        "    return x\n",
        "return",
        "x:",
        "x: ",
        "x = 1\n",
        "class A:\n    pass\n",
        "import math\n",
        "from __future__ import annotations\n",
    ),
    *(
        "lambda: ",
        "(",
        ")",
        "((",
        "[",
        "]",
        "{",
        ":",
        "if x:\n",
        "else:\n",
        "for i in range(3):\n    ",
        "while x:\n",
        "try:\n    ",
        "except:\n    pass\n",
        "finally:\n    ",
    ),
    *(
        "@",
        "#",
        "# ",
        ">>> ",
        "print(",
        "print('x')\n",
        "assert f(1) == 1\n",
        "input()\n",
        "exit()\n",
        "raise SystemExit\n",
        "x" * 200,
        "async def g(): ",
        "await ",
        "yield",
    ),
    *(
        "'",
        '"',
        '"""',
        "f'{",
        "f'{x!r:{",
        "}'",
        "\\\n",
        "\\",
        "b'\\xff'",
        "r'\\d'",
        "'\\d'",
        "1 is 1",
        "1if 1else 1",
        "0777",
        "1_0",
        "0x",
        "1j",
        "not ",
        "-",
        "~",
        "+",
        "**",
    ),
    *(
        "global x\n",
        "nonlocal x\n",
        "return\n",
        "\tx\n",
        "  y\n",
        ";",
        ",",
        "*a, ",
        "**k",
        "match x:\n    case _:\n        ",
        "type X = int\n",
        "if __name__ == '__main__':\n    main()\n",
    ),
)
HOSTILE_CODE = (
    *(
        "import os\n",
        "os._exit(0)\n",
        "open('/etc/passwd').read()\n",
        "__import__('os').system('id')\n",
        "raise BaseException\n",
        "def f(*a, **k):\n    return None\n",
    ),
    *(
        "import sys\nsys.exit(0)\n",
        "import builtins\nbuiltins.print = 1\n",
        "class A:\n    def __eq__(self, other):\n        return True\n",
        "exec('x = 1')\n",
        "del f\n",
        "f = f\n",
    ),
    *(
        "import random\nrandom.seed(0)\n",
        "globals().clear()\n",
        "import gc\ngc.get_objects()\n",
        "x = [0] * 1000\n",
        "def f(n):\n    return f(n)\n",
        "print('x' * 1000)\n",
    ),
)
FAMILIES = (FENCES, MARKS, CHAT, LATEX, NUMBERS, JSON, LISTS, WRITING, SPACES, UNICODE, CODE, HOSTILE_CODE)


def recipe(rng: Random, fields: list[str], depth: int = 4) -> Recipe:
    """Return one recipe of a text, drawn at random.

    Args:
        rng: where it is drawn from.
        fields: names of the problem's own texts.
        depth: how many tables and lists may stand in each other.
    """
    pick = rng.random()
    if depth == 0 or pick < 0.28:
        return rng.choice(rng.choice(FAMILIES))
    if pick < 0.36 and fields:
        return {"field": rng.choice(fields)}
    inner = recipe(rng, fields, depth - 1)
    if pick < 0.56:
        return {"of": inner, "times": times(rng)}
    if pick < 0.64:
        return {"of": inner, "until": int(10 ** (rng.random() * 4))}
    return [inner, *(recipe(rng, fields, depth - 1) for _ in range(rng.randrange(1, 5)))]


def times(rng: Random) -> int:
    """Return how often a piece stands there: mostly a few times, now and then as often as may be."""
    return max(1, int(MOST_TIMES ** (rng.random() ** 1.5)))


def text(made: Recipe, data: Mapping[str, Any]) -> str:
    """Return the text of a recipe.

    Args:
        made: the recipe.
        data: the problem's own fields.
    """
    return _text(made, data)[:MOST_CHARACTERS]


def _text(made: Recipe, data: Mapping[str, Any]) -> str:
    if isinstance(made, str):
        return made
    if isinstance(made, list):
        return "".join(_text(part, data) for part in made)[:MOST_CHARACTERS]
    if "field" in made:
        found = data.get(made["field"], "")
        return found if isinstance(found, str) else str(found)
    inner = _text(made["of"], data)
    if "until" in made:
        return inner[: made["until"]]
    return inner * min(made["times"], MOST_CHARACTERS // max(1, len(inner)) + 1)
