"""Texts of a job's model, computed and kept in parts, so that a killed job goes on from the last part.

All that asks a model does so through :func:`in_parts`: a job of any stage, with as many calls as it likes. The parts of
a call bear the hash of what was asked, so that two calls of a job are told apart, and parts of other questions are
never taken for the answers to these.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import TypeVar

from kit.engines import Progress, Request, Sampling, ScoredCompletion
from kit.errors import KitError
from kit.files import parts as kept
from kit.files.parts import PART_ROWS, Parts
from kit.machine.ranks import spread
from kit.records import Completion, dump_line

BATCHES = 8
"""Full batches of a part, at least. An engine computes a part to its end before it begins the next one, so that texts
do not depend on where a job was stopped; at the end of each part its batch is not full. Who changes this changes which
texts are computed side by side, and raises the version of each engine."""

Text = TypeVar("Text", Completion, ScoredCompletion)
Generate = Callable[[Sequence[Request], Progress], list[Text]]
"""Returns the text of each request, in order, and reports rows and tokens."""


def part_rows(max_num_seqs: int, world: int) -> int:
    """Return how many texts a part has; both numbers are in a job's key, and so are the bounds of its parts.

    Args:
        max_num_seqs: texts that one engine computes side by side.
        world: engines that share the job.
    """
    return max(PART_ROWS, BATCHES * max_num_seqs * world)


def in_parts(
    requests: Sequence[Request],
    sampling: Sampling,
    kind: type[Text],
    parts: Parts,
    generate: Generate[Text],
    *,
    report: Callable[[int, int, int], None],
    max_num_seqs: int,
    rank: int,
    world: int,
) -> list[Text]:
    """Have a text written for each request, part by part; the requests of each part are spread over the ranks.

    Args:
        requests: the same on every rank.
        sampling: how the texts are drawn.
        kind: type of the texts.
        parts: the job's parts.
        generate: the engine's work on a rank's share of a part.
        report: told how many texts are done, how many there are, and how many tokens were written so far.
        max_num_seqs: texts that the engine computes side by side.
        rank: rank of this process; rank 0 keeps the parts.
        world: number of ranks.

    Raises:
        KitError: a text is missing or answers another request, or a part can't be kept.
    """
    own = replace(parts, key=f"{parts.key}-{_asked(requests, sampling)}")
    size = part_rows(max_num_seqs, world)
    tokens = sum(map(_tokens, own.read(kind, len(requests), size)))

    def compute(first: int, part: Sequence[Request]) -> list[Text]:
        nonlocal tokens

        def progress(done: int, written: int) -> None:
            report(first + min(done * world, len(part)), len(requests), tokens + written)

        progress(0, 0)
        texts = spread(part, world, lambda share: generate(share, progress))
        _check(part, texts, first)
        tokens += sum(map(_tokens, texts))
        return texts

    return kept.in_parts(requests, kind, own, compute, writes=rank == 0, size=size)


def _asked(requests: Sequence[Request], sampling: Sampling) -> str:
    """Return 16 hex digits that stand for what is asked: every chat, its seed, and how the texts are drawn."""
    digest = hashlib.sha256(dump_line(asdict(sampling)).encode())
    for request in requests:
        digest.update(dump_line(asdict(request)).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:16]


def _check(requests: Sequence[Request], texts: Sequence[Text], first: int) -> None:
    """Refuse texts that are not those of the requests, in order: another rank's part, or an engine's fault.

    Args:
        requests: those of one part.
        texts: one for each.
        first: position of the part's first request among those of the job.

    Raises:
        KitError: a text answers another request.
    """
    for number, (request, text) in enumerate(zip(requests, texts, strict=True), start=first):
        if (found := _completion(text).id) != request.id:
            raise KitError(
                f"text {number:,}: found an answer to {found!r:.60}, wanted one to {request.id!r:.60}; nothing of this "
                "part was kept: run again, and report it if it comes back"
            )


def _completion(text: Completion | ScoredCompletion) -> Completion:
    """Return a text without the probabilities of its tokens."""
    return text if isinstance(text, Completion) else text.completion


def _tokens(text: Completion | ScoredCompletion) -> int:
    """Return the length of a text in tokens."""
    return _completion(text).tokens
