"""Sums, means and statements: counts that add up to n, means of other cells, numbers of the running text."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kit.audit.counts import Number
from kit.audit.findings import Finding, Sureness
from kit.audit.ifeval import ROLES
from kit.audit.sheets import Line, Run, Sheet
from kit.catalogue import paper
from kit.catalogue.paper import PaperTable


def sums(sheets: Sequence[Sheet]) -> tuple[list[Finding], int]:
    """Return the rows of counts that do not add up to their n, and the number of rows with counts."""
    found, compared = [], 0
    for sheet in sheets:
        for line in sheet.lines:
            if not line.total:
                continue
            compared += 1
            total = sum(cell.digits for cell in line.cells.values())
            if total != line.total:
                found.append(_sum_finding(sheet, line, total))
    return found, compared


def _sum_finding(sheet: Sheet, line: Line, total: int) -> Finding:
    """Return the finding of a row whose counts add up to another number."""
    missing = line.total - total
    adding = " + ".join(cell.text for cell in line.cells.values())
    few = f"{missing} left out of the counts, such as a judge's reply that is none of the labels"
    many = f"{-missing} counted twice, or a digit that was changed"
    return Finding(
        check="sums",
        table=sheet.label,
        rows=(line.name,),
        columns=tuple(line.cells),
        printed=tuple(cell.text for cell in line.cells.values()),
        why=f"{adding} = {total}, and n is {line.total}",
        sure="certain",
        could_be=(few if missing > 0 else many,),
    )


def means(sheets: Sequence[Sheet]) -> tuple[list[Finding], int]:
    """Return the printed means that differ from their parts' by more than rounding, and how many means there are."""
    found, compared = [], 0
    of_runs = _ifeval_of_runs(sheets)
    for sheet in sheets:
        for column in sheet.columns:
            for line in sheet.lines if column.role.startswith("mean of") else ():
                parts = _levels(sheet, line) if column.role == "mean of levels" else of_runs.get(line.run, {})
                if column.id not in line.cells or not parts:
                    continue
                compared += 1
                printed, total = line.cells[column.id], sum(part.digits for part in parts.values())
                # each part and the mean itself may be off by half a digit
                if abs(total - len(parts) * printed.digits) > len(parts):
                    found.append(_mean_finding(sheet, line, column.id, parts))
    return found, compared


def _levels(sheet: Sheet, line: Line) -> Mapping[str, Number]:
    """Return the cells of a row's levels."""
    ids = [column.id for column in sheet.columns if column.role.startswith("level ")]
    return {id: line.cells[id] for id in ids if id in line.cells}


def _ifeval_of_runs(sheets: Sequence[Sheet]) -> dict[Run | None, Mapping[str, Number]]:
    """Return IFEval's four numbers of each run that is printed with all of them."""
    found: dict[Run | None, Mapping[str, Number]] = {}
    for sheet in sheets:
        ids = {column.role: column.id for column in sheet.columns if column.role in ROLES}
        for line in sheet.lines:
            if line.run and len(ids) == len(ROLES) and all(id in line.cells for id in ids.values()):
                found.setdefault(line.run, {role: line.cells[id] for role, id in ids.items()})
    return found


def _mean_finding(sheet: Sheet, line: Line, id: str, parts: Mapping[str, Number]) -> Finding:
    """Return the finding of a mean that is another one."""
    printed = line.cells[id]
    mean = sum(part.value for part in parts.values()) / len(parts)
    texts = [part.text for part in parts.values()]
    return Finding(
        check="means",
        table=sheet.label,
        rows=(line.name,),
        columns=(id,),
        printed=(printed.text,),
        why=f"the mean of {', '.join(texts)} is {mean:.{printed.decimals + 2}f}; rounding hides 0.01 at most",
        sure="certain",
        could_be=("a digit of the mean or of one part changed", "a mean of other numbers than those"),
    )


# the running text, and sizes that stand in several places


@dataclass(frozen=True, slots=True)
class Statement:
    """One thing that the paper says in words or in a heading, and whether its tables bear it out."""

    table: str
    what: str
    holds: bool
    detail: str
    sure: Sureness = "certain"


def text(tables: Mapping[str, PaperTable]) -> tuple[list[Finding], int]:
    """Return the statements that the tables do not bear out, and the number of statements."""
    made = [*_scalars(tables), *_sizes(tables), *_orders(tables)]
    found = [
        Finding(
            check="text",
            table=one.table,
            printed=(one.what,),
            why=one.detail,
            sure=one.sure,
            could_be=("another set, or another round, than the table has",),
        )
        for one in made
        if not one.holds
    ]
    return found, len(made)


def _scalars(tables: Mapping[str, PaperTable]) -> Iterator[Statement]:
    """Yield the numbers of the running text that tables and figures hold the parts of."""
    printed = {id: scalar.value for id, scalar in paper.scalars().items()}
    items, kept = printed["autoif_training_items"], printed["autoif_constraints_llm"]
    yield Statement(
        "table-3",
        f"{items:.0f} training items of {kept:.0f} constraints (A.1)",
        items % kept == 0 and items == tables["table-3"].training_items,
        f"{items:.0f} / {kept:.0f} = {items / kept:g} queries each; table 3 says {tables['table-3'].training_items}",
    )
    sizes = {row.dataset: row.values["n_items"] for row in tables["table-8"].row}
    trained = tables["table-4"].training_items
    for dataset, id in (("alpaca", "alpaca"), ("gsm8k-train", "gsm8k"), ("code-alpaca", "code")):
        value = printed[f"auto_evol_{id}_items"]
        in_table = trained[dataset] if isinstance(trained, dict) else trained
        whole = float(sizes[dataset])
        detail = f"table 4 says {in_table}, of {whole:.0f} seed items ({100 * value / whole:.1f} %)"
        yield Statement(
            "table-4", f"{value:.0f} items of {dataset} (A.1)", value == in_table and value <= whole, detail
        )
    share = _very_hard(tables["figure-2"])
    stated = printed["round3_slm_alpaca_very_hard_share"]
    yield Statement(
        "figure-2", f"nearly {stated:g} % very hard (3.1)", _nearly(share, stated), f"the labels give {share:.2f} %"
    )
    gain = printed["followbench_gain_llama_3_and_3_1_8b"]
    for model in ("llama-3-8b", "llama-3.1-8b"):
        llm, slm = (
            float(tables["table-3"].rows(model=model, evolver_role=role)[0].values["followbench_hsr_avg"])
            for role in ("llm", "slm")
        )
        detail = f"{slm:.2f} - {llm:.2f} = {slm - llm:.2f} points"
        yield Statement(
            "table-3", f"nearly {gain:g} % gained on FollowBench by {model} (3.2)", _nearly(slm - llm, gain), detail
        )
    fraction = printed["data_selection_kept_fraction"]
    fractions = {row.kept_fraction for row in tables["table-5"].row if row.selection != "none"}
    detail = f"table 5 keeps {', '.join(f'{100 * (one or 0):g} %' for one in fractions)}"
    yield Statement("table-5", f"{fraction:g} % kept (5)", fractions == {fraction / 100}, detail)


def _very_hard(figure: PaperTable) -> float:
    """Return the share of very hard items of the small evolver's Alpaca in round 3, percent."""
    row = figure.rows(dataset="alpaca", round=3, evolver_role="slm")[0]
    return 100 * float(row.values["very_hard"]) / (row.n or 1)


def _nearly(value: float, stated: float) -> bool:
    """Return whether a number is below the one stated, and is that one to the nearest ten."""
    return value < stated and round(value, -1) == stated


def _sizes(tables: Mapping[str, PaperTable]) -> Iterator[Statement]:
    """Yield the sizes of seed sets that other tables and figures repeat."""
    sizes = {row.dataset: row.values["n_items"] for row in tables["table-8"].row}
    for name in ("table-13", "table-14"):
        for column in tables[name].column:
            wanted = sizes.get(column.dataset)
            yield Statement(
                name,
                f"n of {column.id}",
                column.n == wanted,
                f"n = {column.n}, table 8 says {wanted:g}" if wanted else "",
            )
    for dataset, wanted in sizes.items():
        found = {row.n for row in tables["figure-2"].rows(dataset=str(dataset))}
        yield Statement("figure-2", f"n of {dataset}", found == {wanted}, f"n = {found}, table 8 says {wanted}")


def _orders(tables: Mapping[str, PaperTable]) -> Iterator[Statement]:
    """Yield, for each seed set, whether its evolved sets have one order by mean score and by mean level.

    The same judge gave both, so that two orders would be improbable, and no more than that.
    """
    scores, levels = tables["table-13"], tables["figure-2"]
    for column in scores.column:
        pairs = []
        for row in levels.rows(dataset=str(column.dataset)):
            (scored,) = scores.rows(evolver=str(row.evolver), round=int(row.round or 0))
            counts = [float(count) for count in row.values.values()]
            level = sum(place * count for place, count in enumerate(counts)) / sum(counts)
            pairs.append((level, float(scored.values[column.id])))
        by_level = [score for _, score in sorted(pairs)]
        detail = f"by the mean level of figure 2, table 13's scores come as {', '.join(map(str, by_level))}"
        what = f"{column.dataset}: one order of difficulty in table 13 and figure 2"
        yield Statement("table-13", what, by_level == sorted(by_level), detail, "possible")
