"""The part of a reply that thinks aloud, which is taken off before a label is looked for."""

RULE = "think-tags-1"
"""Name of the rule of :func:`without_thoughts`, for a job's parameters."""
OPENED, CLOSED = "<think>", "</think>"


def without_thoughts(text: str) -> tuple[str, int]:
    """Return a reply without its thoughts, and how many parts were taken off.

    A thought goes from ``<think>`` to the next ``</think>``, or to the end where none follows: what was cut off in a
    thought has no answer. A ``</think>`` that nothing opened ends a thought that the prompt began, so that all before
    it is one. Where nothing is taken off the text stays as it is; else blanks around the rest are taken off too.
    """
    kept: list[str] = []
    parts = position = 0
    while True:
        opens, closes = text.find(OPENED, position), text.find(CLOSED, position)
        if opens < 0 and closes < 0:
            kept.append(text[position:])
            return ("".join(kept).strip() if parts else text), parts
        parts += 1
        if closes >= 0 and (opens < 0 or closes < opens):
            kept, position = [], closes + len(CLOSED)
            continue
        kept.append(text[position:opens])
        if closes < 0:
            return "".join(kept).strip(), parts
        position = closes + len(CLOSED)
