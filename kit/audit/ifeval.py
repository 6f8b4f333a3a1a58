"""Bounds between IFEval's four numbers, which count the same answers: by prompt or instruction, strict or loose.

A prompt is right when all of its instructions are, and what is right under strict reading is right under loose reading:
loose takes the answer itself as one of its eight variants. With P prompts and I instructions right, of N prompts with M
instructions in all, strict (s) and loose (l), and f(P) the fewest instructions that P prompts have:

- Ps <= Pl, Is <= Il.
- f(P) <= I: a right prompt's instructions are all right.
- I <= M - (N - P): a wrong prompt has one wrong instruction at least.
- Il - Is >= Pl - Ps: a prompt that only loose reading finds right has one instruction more at least.

These are all that there are: numbers that satisfy them can be had (tests/audit/test_ifeval.py tries every one).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kit.audit.counts import Number, around
from kit.audit.facts import Prompts
from kit.audit.sheets import Sheet

ROLES = ("prompt strict", "instruction strict", "prompt loose", "instruction loose")


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of one row by role; a role that a table leaves out is absent."""

    of: Mapping[str, range]

    def pair(self, left: str, right: str) -> tuple[range, range] | None:
        """Return the counts of two roles, or None where one is absent."""
        return (self.of[left], self.of[right]) if left in self.of and right in self.of else None


def roles(sheet: Sheet, prompts: Prompts) -> dict[str, str]:
    """Return IFEval's columns by role, where they are of the whole benchmark."""
    whole = {"prompt": prompts.prompts, "instruction": prompts.instructions}
    return {
        column.role: column.id
        for column in sheet.columns
        if column.role in ROLES and column.n == whole[column.role.split()[0]]
    }


def counts_of(cells: Mapping[str, Number], columns: Mapping[str, str], prompts: Prompts) -> Counts:
    """Return what the cells of a row can mean as counts."""
    sizes = {"prompt": prompts.prompts, "instruction": prompts.instructions}
    return Counts({role: around(cells[id], sizes[role.split()[0]]) for role, id in columns.items() if id in cells})


def violations(found: Counts, prompts: Prompts) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the roles and the sentence of each bound that no counts of these satisfy."""
    for level in ("prompt", "instruction"):
        if (pair := found.pair(f"{level} strict", f"{level} loose")) and pair[0][0] > pair[1][-1]:
            roles = (f"{level} strict", f"{level} loose")
            yield roles, f"{pair[0][0]} {level}s right under strict reading, {pair[1][-1]} under loose, which asks less"
    for mode in ("strict", "loose"):
        if pair := found.pair(f"prompt {mode}", f"instruction {mode}"):
            yield from _between_levels(mode, pair[0], pair[1], prompts)
    gained = found.pair("prompt strict", "prompt loose"), found.pair("instruction strict", "instruction loose")
    if gained[0] and gained[1]:
        prompts_more, instructions_more = gained[0][1][0] - gained[0][0][-1], gained[1][1][-1] - gained[1][0][0]
        if instructions_more < prompts_more and prompts_more > 0:
            yield (
                ROLES,
                (
                    f"loose reading finds {prompts_more} more prompts right and only {instructions_more} more "
                    "instructions; each of these prompts needs one more at least"
                ),
            )


def _between_levels(mode: str, right: range, single: range, prompts: Prompts) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the bounds of instructions by prompts, under one way of reading, that are not kept."""
    roles = (f"prompt {mode}", f"instruction {mode}")
    fewest = prompts.fewest_instructions(right[0])
    most = prompts.instructions - (prompts.prompts - right[-1])
    if single[-1] < fewest:
        yield (
            roles,
            f"{right[0]} right prompts have {fewest} instructions or more, and at most {single[-1]} are right ({mode})",
        )
    if single[0] > most:
        yield (
            roles,
            (
                f"{prompts.prompts - right[-1]} wrong prompts have one wrong instruction each at least, so {most} of "
                f"{prompts.instructions} can be right, and at least {single[0]} are ({mode})"
            ),
        )
