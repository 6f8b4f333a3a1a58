"""``kit claims``: the verdict on each finding of the paper, on its printed numbers and on what a store has."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import DEFAULT_STORE, AsJson, ScaleName, StoreDir, app, say, say_json, store_to_read
from kit.cli.completing import complete_table
from kit.errors import RequestError

if TYPE_CHECKING:
    from rich.table import Table

    from kit.claims import Judgement

STYLES: Mapping[str, str] = {"holds": "green", "does not hold": "bold red", "cannot tell": "yellow"}
"""Verdict -> its colour."""


@app.command()
def claims(
    tables: Annotated[
        list[str] | None,
        typer.Argument(
            help="Claims about these tables alone, by number or name; all of them by default",
            autocompletion=complete_table,
        ),
    ] = None,
    scale: ScaleName = "auto",
    store: StoreDir = DEFAULT_STORE,
    json: AsJson = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="The verdicts on the printed numbers as docs/claims.md has them")
    ] = False,
) -> None:
    """Judge the paper's claims by its printed numbers, and by your own results if there is a store."""
    from kit.catalogue.claims import read_claims
    from kit.claims import claims_of, on_printed, on_results, page
    from kit.claims.stored import stored_grids, table_names, without_numbers

    if json and markdown:
        raise RequestError("--json and --markdown are two forms of one answer; name one of them")
    file = read_claims()
    chosen = claims_of(table_names(tables, file.claim)) if tables else file.claim
    printed = on_printed(chosen, file.claim)
    if markdown:
        say(page.markdown(printed, file.families), nl=False)
        return
    own: Sequence[Judgement] = []
    used_scale = None
    if store != DEFAULT_STORE.resolve() or os.path.lexists(store):
        opened = store_to_read(store)
        used_scale, grids = stored_grids(file.claim, opened, scale)
        if grids:
            own = on_results(chosen, grids, opened, file.claim)
        elif store != DEFAULT_STORE.resolve():
            raise RequestError(without_numbers(opened, used_scale))
        else:  # nobody named it
            say(f"note: {without_numbers(opened, used_scale)}; judged are the printed numbers alone", err=True)
    if json:
        say_json(page.as_json(printed, own, file.families, used_scale if own else None))
        return
    show(printed, own, file.families, used_scale)


def show(
    printed: "Sequence[Judgement]", own: "Sequence[Judgement]", families: Mapping[str, str], scale: str | None
) -> None:
    """Print a table with a row for each claim, the counts of verdicts, and what they mean at this scale."""
    from rich.text import Text

    from kit.claims import page
    from kit.report import terminal
    from kit.report.escapes import plain

    console = terminal.console()
    console.print(claims_table(printed, own, families))
    lines = [f"On the printed numbers: {' '.join(page.summary(printed))}"]
    if own:
        lines.append(f"On your results at scale {scale}: {' '.join(page.summary(own))}")
        if scale != "paper":
            lines.append("Other models play the paper's at this scale: these verdicts are about the players.")
    lines.append(
        "95 % intervals; p values after Holm within each family of claims; docs/claims.md says how to read them."
    )
    for line in lines:
        console.print(Text(plain(line)), soft_wrap=True)


def claims_table(printed: "Sequence[Judgement]", own: "Sequence[Judgement]", families: Mapping[str, str]) -> "Table":
    """Return a table with a section for each family: claim, place, verdict on the printed numbers, ours, and why."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from kit.claims import page
    from kit.report.escapes import plain

    ours = {one.claim.id: one for one in own}
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("claim", ratio=3, overflow="fold")
    table.add_column("where", ratio=1, overflow="fold")
    table.add_column("printed", no_wrap=True)
    if own:
        table.add_column("yours", no_wrap=True)
    table.add_column("why", ratio=4, overflow="fold")
    for family, found in page.by_family(printed):
        table.add_row(Text(plain(families[family]), style="bold"))
        for one in found:
            results = [ours[one.claim.id]] if own else []
            verdicts = [Text(each.verdict, style=STYLES[each.verdict]) for each in (one, *results)]
            why = "\n".join(_why(each, "yours: " if each in results else "") for each in (one, *results))
            table.add_row(plain(one.claim.says), plain(one.claim.where), *verdicts, Text(plain(why)))
        table.add_section()
    return table


def _why(judgement: "Judgement", label: str) -> str:
    """Return a claim's number with its interval and n, and what was found."""
    from kit.claims import page

    texts = (page.number_text(judgement), page.count_text(judgement), judgement.why)
    return label + "; ".join(filter(None, texts))
