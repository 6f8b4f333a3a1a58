"""Tables made from item counts, consistent by construction, and errors planted into them, with the rates found.

python -m tests.audit.synthetic 2000     plants so many errors of each kind and prints the table of docs/audit.md
"""

import random
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from kit.audit.checking import audit_sheets
from kit.audit.counts import Number, as_printed
from kit.audit.facts import CountsFile, facts
from kit.audit.findings import Finding, Report
from kit.audit.sheets import Column, Line, Sheet

ROWS = 12
SHARES = {
    "gsm8k": (1319, 0.25, 0.9),
    "math": (5000, 0.02, 0.6),
    "humaneval": (164, 0.1, 0.85),
    "mbpp": (500, 0.05, 0.77),
}
"""Benchmark -> its items, and the range of true shares: about that of the paper's tables."""
IFEVAL = {
    "ifeval_prompt_strict": ("prompt strict", 541),
    "ifeval_instruction_strict": ("instruction strict", 834),
    "ifeval_prompt_loose": ("prompt loose", 541),
    "ifeval_instruction_loose": ("instruction loose", 834),
}
COLUMNS = [
    *(Column(id=id, benchmark="ifeval", role=role, n=n, units=n) for id, (role, n) in IFEVAL.items()),
    *(Column(id=id, benchmark=id, n=n, units=n) for id, (n, _, _) in SHARES.items()),
]
IDS = [column.id for column in COLUMNS]
Cells = dict[str, Number]


def ifeval_counts(draw: random.Random, fixed: CountsFile) -> dict[str, int]:
    """Return the counts of one simulated model, answer by answer: each prompt has a difficulty of its own."""
    found, ability = Counter[str](), draw.uniform(0.25, 0.75)
    for size, prompts in enumerate(fixed.ifeval.prompts_with, 1):
        for _ in range(prompts):
            easy = min(max(ability + draw.gauss(0, 0.25), 0.02), 0.98)
            strict = [draw.random() < easy for _ in range(size)]
            loose = [right or draw.random() < 0.06 for right in strict]
            for mode, answers in (("strict", strict), ("loose", loose)):
                found[f"ifeval_instruction_{mode}"] += sum(answers)
                found[f"ifeval_prompt_{mode}"] += all(answers)
    return dict(found)


def consistent_table(draw: random.Random, fixed: CountsFile, rows: int = ROWS) -> Sheet:
    """Return a table of simulated models: every cell is a count of right answers, rounded halves up."""
    lines = []
    for row in range(rows):
        right = ifeval_counts(draw, fixed)
        for id, (n, low, high) in SHARES.items():
            share = draw.uniform(low, high)
            right[id] = min(max(round(draw.gauss(n * share, (n * share * (1 - share)) ** 0.5)), 0), n)
        cells = {column.id: as_printed(right[column.id], column.n, 2) for column in COLUMNS}
        lines.append(Line(name=f"model {row + 1}", cells=cells, block="one"))
    return Sheet(name="synthetic", columns=COLUMNS, lines=lines)


def with_cells(sheet: Sheet, cells: Mapping[int, Cells]) -> Sheet:
    """Return a table with other cells in some rows."""
    lines = [replace(line, cells={**line.cells, **cells.get(row, {})}) for row, line in enumerate(sheet.lines)]
    return replace(sheet, lines=lines)


Plant = tuple[Sheet, Callable[[Finding], bool], Callable[[Finding], bool], str]
"""The table, whether a finding concerns the error, whether it names it rightly, and the column for the counts."""


def swap_columns(sheet: Sheet, draw: random.Random) -> Plant:
    """Exchange two columns in every row."""
    left, right = draw.sample(IDS, 2)
    cells = {row: {left: line.cells[right], right: line.cells[left]} for row, line in enumerate(sheet.lines)}
    return (
        with_cells(sheet, cells),
        lambda finding: bool({left, right} & set(finding.columns)),
        lambda finding: finding.check == "swapped" and {left, right} == set(finding.columns),
        "",
    )


def swap_cells(sheet: Sheet, draw: random.Random) -> Plant:
    """Exchange two cells of one row that differ."""
    row = draw.randrange(len(sheet.lines))
    line = sheet.lines[row]
    left, right = draw.sample(IDS, 2)
    while line.cells[left] == line.cells[right]:
        left, right = draw.sample(IDS, 2)
    changed = with_cells(sheet, {row: {left: line.cells[right], right: line.cells[left]}})

    def concerns(finding: Finding) -> bool:
        return line.name in finding.rows and bool({left, right} & set(finding.columns))

    def names(finding: Finding) -> bool:
        either = {f"{left} and {right} exchanged", f"{right} and {left} exchanged"}
        swapped = finding.check == "swapped" and {left, right} == set(finding.columns)
        return concerns(finding) and (swapped or bool(either & set(finding.could_be)))

    return changed, concerns, names, ""


def change_digit(sheet: Sheet, draw: random.Random) -> Plant:
    """Change one digit of one cell; no leading zero appears and nothing is above 100."""
    row, id = draw.randrange(len(sheet.lines)), draw.choice(IDS)
    line = sheet.lines[row]
    true = line.cells[id]
    while True:
        text = list(true.text)
        place = draw.choice([place for place, sign in enumerate(text) if sign.isdigit()])
        text[place] = draw.choice([digit for digit in "0123456789" if digit != text[place]])
        changed = Number(int("".join(text).replace(".", "")), 2)
        if changed.digits <= 10_000 and changed.text == "".join(text):
            break

    def concerns(finding: Finding) -> bool:
        return line.name in finding.rows and id in finding.columns

    def names(finding: Finding) -> bool:
        listed = [one for one in finding.could_be if one.startswith("one digit away")]
        return concerns(finding) and any(true.text in one for one in listed)

    return with_cells(sheet, {row: {id: changed}}), concerns, names, id


def repeat_row(sheet: Sheet, draw: random.Random) -> Plant:
    """Copy all cells of one row over another."""
    one, other = draw.sample(range(len(sheet.lines)), 2)
    names = {sheet.lines[one].name, sheet.lines[other].name}

    def concerns(finding: Finding) -> bool:
        return finding.check == "repeated" and names == set(finding.rows)

    return with_cells(sheet, {other: dict(sheet.lines[one].cells)}), concerns, concerns, ""


def repeat_ifeval(sheet: Sheet, draw: random.Random) -> Plant:
    """Copy IFEval's four cells of one row over another's."""
    one, other = draw.sample(range(len(sheet.lines)), 2)
    names = {sheet.lines[one].name, sheet.lines[other].name}

    def concerns(finding: Finding) -> bool:
        return finding.check == "repeated" and names == set(finding.rows)

    copied = {id: sheet.lines[one].cells[id] for id in IFEVAL}
    return with_cells(sheet, {other: copied}), concerns, concerns, ""


KINDS: dict[str, Callable[[Sheet, random.Random], Plant]] = {
    "two columns swapped": swap_columns,
    "two cells of a row swapped": swap_cells,
    "one digit changed": change_digit,
    "a row repeated": repeat_row,
    "IFEval's cells of a row repeated": repeat_ifeval,
}


class Rates:
    """Counts of planted errors, of those found, and of those that are named for what they are."""

    def __init__(self) -> None:
        self.planted, self.found, self.named = Counter[str](), Counter[str](), Counter[str]()

    def add(self, kind: str, report: Report, plant: Plant) -> None:
        """Count one planted error, and whether it is found and named."""
        _, concerns, names, column = plant
        for key in (kind, f"{kind}: {column}") if column else (kind,):
            self.planted[key] += 1
            self.found[key] += any(map(concerns, report.findings))
            self.named[key] += any(map(names, report.findings))

    def rate(self, kind: str) -> float:
        """Return the share of the planted errors of a kind that was found."""
        return self.found[kind] / self.planted[kind]

    def lines(self) -> Iterable[str]:
        """Yield the rows of a Markdown table."""
        yield "| planted | errors | found | named for what it is |"
        yield "| --- | --- | --- | --- |"
        for kind, count in sorted(self.planted.items(), key=lambda one: list(KINDS).index(one[0].split(":")[0])):
            named = f"{100 * self.named[kind] / count:.1f} %"
            yield f"| {kind} | {count:,} | {100 * self.found[kind] / count:.1f} % | {named} |"


def plant_errors(each: int, seed: int) -> Rates:
    """Plant so many errors of each kind, each into a table of its own kind, and count those that are found."""
    draw, fixed, rates = random.Random(seed), facts(), Rates()
    for _ in range(each):
        table = consistent_table(draw, fixed)
        for kind, plant in KINDS.items():
            planted = plant(table, draw)
            rates.add(kind, audit_sheets([planted[0]], fixed), planted)
    return rates


def untouched(tables: int, seed: int) -> tuple[list[Finding], list[Finding]]:
    """Return the findings and the notes on so many consistent tables."""
    draw, fixed = random.Random(seed), facts()
    reports = [audit_sheets([consistent_table(draw, fixed)], fixed) for _ in range(tables)]
    return [one for report in reports for one in report.findings], [one for report in reports for one in report.notes]


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    print("\n".join(plant_errors(count, seed=13).lines()))
    wrong, notes = untouched(count, seed=14)
    print(f"\n{len(wrong)} findings and {len(notes)} notes on {count:,} consistent tables.")
    for finding in (*wrong, *notes):
        print(finding.check, finding.rows, finding.columns, finding.printed, finding.chance)
