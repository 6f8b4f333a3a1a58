"""Finding the code in what a model wrote, by its text alone: nothing here parses or runs it."""

import re

BLOCK = re.compile(r"```[^\n`]*\n(.*?)(?:```|\Z)", re.DOTALL)
"""A fenced block; one that was cut off counts to the end."""
CODE_LINE = re.compile(r"(?:async def|def|class|from|import)\s|@\w|[A-Za-z_]\w*(?:\s*:[^=\n]+)?\s*=[^=]")
"""What starts a statement worth keeping at the left margin: definitions, imports, assignments."""
MORE_OF_IT = re.compile(r"[#)\]}]|\"\"\"|'''|(?:else|elif|except|finally)\b")
"""What may stand at the left margin within or between them."""


def defines(code: str, name: str) -> bool:
    """Whether a function or class of this name is defined at the left margin."""
    return re.search(rf"^(?:async def|def|class)\s+{re.escape(name)}\b", code, re.MULTILINE) is not None


def block_of(text: str, name: str) -> str:
    """The first fenced block that defines the name, else the first one, else the whole text."""
    blocks = [match[1] for match in BLOCK.finditer(text.replace("\r\n", "\n"))]
    return next(
        (block for block in blocks if defines(block, name)), blocks[0] if blocks else text.replace("\r\n", "\n")
    )


def definitions(code: str, name: str) -> str:
    """From the first statement to the last definition: no prose before it, no examples, tests or prose after it."""
    lines = code.splitlines()
    start = next((n for n, line in enumerate(lines) if CODE_LINE.match(line)), 0)
    kept: list[str] = []
    found = False
    for line in lines[start:]:
        at_margin = line[:1].strip() != ""
        if found and at_margin and not (CODE_LINE.match(line) or MORE_OF_IT.match(line)):
            break
        found = found or defines(line, name)
        kept.append(line)
    return "\n".join(kept).rstrip() + "\n"


def body(code: str) -> str:
    """A text that goes on inside a function: its indented part, the first line's indent put back where it was lost."""
    lines = code.strip("\n").splitlines()
    if lines and lines[0][:1].strip():
        lines[0] = "    " + lines[0]
    end = next((n for n, line in enumerate(lines) if line[:1].strip() and not MORE_OF_IT.match(line)), len(lines))
    return "\n".join(lines[:end]).rstrip() + "\n"
