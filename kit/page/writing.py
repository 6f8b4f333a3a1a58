"""Writes a page as one HTML file: its template's texts escaped, its style and script inside and allowed by sha256."""

import base64
import gzip
import hashlib
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kit.audit.showing import closing, details, heading
from kit.claims import page as claim_texts
from kit.claims.evidence import FAILS, HOLDS, UNKNOWN
from kit.errors import KitError
from kit.page import Page
from kit.page.tables import SIGNS
from kit.page.texts import clean

HERE = Path(__file__).resolve().parent
STYLE, SCRIPT = "page.css", "page.js"
TITLE = "Smaller language models are better instruction evolvers: the tables, run again"
"""Title of every page."""
CLAIM_SIGNS = {HOLDS: SIGNS["match"], FAILS: SIGNS["off"], UNKNOWN: SIGNS["cannot tell"]}
"""Verdict on a claim -> the sign that stands beside its colour."""


def html(page: Page) -> str:
    """Return a page as the text of one HTML file, without a line that any other file or host is needed for.

    Raises:
        KitError: Jinja is not installed.
    """
    style, script = (_static(name) for name in (STYLE, SCRIPT))
    values: dict[str, Any] = {
        "title": TITLE,
        "page": page,
        "contents": page.contents,
        "policy": policy_of(served=bool(page.head["served"])),
        "style": _markup(style),
        "script": _markup(script),
        "head": _markup(json_in_html(page.head)),
        "blocks": {} if page.head["served"] else {id: packed(block) for id, block in page.blocks.items()},
        "claims": list(_claims(page)),
        "claim_counts": claim_texts.summary(page.contents.own_claims or page.contents.printed_claims),
        "audit": list(_audit(page)),
        "audit_lines": list(closing(page.contents.audit)) if page.contents.audit else [],
        "signs": SIGNS,
        "claim_signs": CLAIM_SIGNS,
    }
    return str(_environment().get_template("page.html").render(values))


def policy_of(*, served: bool) -> str:
    """Return the policy of a page: its own style and script, pictures that stand in it, and nothing from elsewhere.

    Args:
        served: whether it may ask the server that it comes from for blocks of rows.
    """
    parts = [
        "default-src 'none'",
        f"script-src '{_source_hash(_static(SCRIPT))}'",
        f"style-src '{_source_hash(_static(STYLE))}'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        *(["connect-src 'self'"] if served else []),
    ]
    return "; ".join(parts)


def packed(block: bytes) -> str:
    """Return a block as base64 of its gzip, the same text for the same bytes."""
    return base64.b64encode(gzip.compress(block, compresslevel=9, mtime=0)).decode()


def json_in_html(document: Any) -> str:
    r"""Return a JSON text that may stand within a ``script`` element: ``<``, ``>`` and ``&`` as ``\u003c``."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _claims(page: Page) -> list[dict[str, Any]]:
    """Return each family of claims with its rows: the claim, both verdicts, the numbers and the reasons."""
    own = {one.claim.id: one for one in page.contents.own_claims}
    found = []
    for family, judgements in claim_texts.by_family(page.contents.printed_claims):
        rows = [
            {
                "id": one.claim.id,
                "says": one.claim.says,
                "where": one.claim.where,
                "printed": one,
                "own": own.get(one.claim.id),
                "number": claim_texts.number_text(one),
                "own_number": claim_texts.number_text(own[one.claim.id]) if one.claim.id in own else "",
            }
            for one in judgements
        ]
        found.append({"question": page.contents.families.get(family, family), "rows": rows})
    return found


def _audit(page: Page) -> list[dict[str, Any]]:
    """Return each finding of the audit, then each note: how sure it is, where, and why."""
    audit = page.contents.audit
    return [
        {"sure": one.sure, "table": one.table, "heading": heading(one), "details": list(details(one))}
        for one in ((*audit.findings, *audit.notes) if audit else ())
    ]


def _environment() -> Any:
    """Return the template's environment, in which every value is cleaned, then escaped.

    Raises:
        KitError: Jinja is not installed.
    """
    if find_spec("jinja2") is None:
        raise KitError("jinja2 is not installed, which writes the page; `make setup` installs it")
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    def cleaned(value: Any) -> Any:
        return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    return Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=cleaned,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _markup(text: str) -> Any:
    """Return a text of the kit's own that the template takes as it is."""
    from markupsafe import Markup

    return Markup(text)


def _static(name: str) -> str:
    """Return a file of the page's own, with nothing in it that would end its element."""
    text = (HERE / "static" / name).read_text(encoding="utf-8")
    assert "</script" not in text.lower() and "</style" not in text.lower(), name
    return text


def _source_hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
