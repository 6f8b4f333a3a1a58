"""Findings for machines that run checks: JUnit XML, and lines that GitHub Actions shows beside a change."""

import re
from collections.abc import Iterator, Sequence
from xml.etree import ElementTree

from kit.check.findings import CANNOT_TELL, MISSING, OFF, Checked, counts, counts_text, outcome_of, table_of
from kit.report.escapes import plain

NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 does not allow, not even escaped: https://www.w3.org/TR/xml/#charsets."""
COMMANDS = {"no": "error", CANNOT_TELL: "warning"}
"""Outcome of a check -> GitHub's command for it."""


def junit(findings: Sequence[Checked]) -> str:
    """Return findings as JUnit XML: a suite for each table, a case for each check.

    A check that says no is a ``failure``, one that can't be told an ``error``; a cell that is off or can't be told in a
    table that is judged as a whole is ``skipped``, so that no reader takes it for a pass.
    """
    root = ElementTree.Element("testsuites", name="kit verify")
    suites: dict[str, list[Checked]] = {}
    for finding in findings:
        suites.setdefault(table_of(finding), []).append(finding)
    totals = [_add_suite(root, name, members) for name, members in suites.items()]
    _count(root, [sum(column) for column in zip(*totals, strict=True)] or [0, 0, 0, 0])
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _add_suite(root: ElementTree.Element, name: str, findings: Sequence[Checked]) -> list[int]:
    """Add the suite of one table; return its numbers of cases, failures, errors and skipped ones."""
    suite = ElementTree.SubElement(root, "testsuite", name=xml_text(name))
    kinds = []
    for finding in findings:
        case = ElementTree.SubElement(
            suite, "testcase", classname=xml_text(f"kit.verify.{name}"), name=xml_text(case_name(finding))
        )
        kind = _kind(finding)
        kinds.append(kind)
        detail = xml_text(finding.detail)
        if kind == "passed":
            ElementTree.SubElement(case, "system-out").text = detail
        else:
            ElementTree.SubElement(case, kind, message=detail, type=finding.verdict or "failed").text = detail
    numbers = [len(kinds), *(kinds.count(kind) for kind in ("failure", "error", "skipped"))]
    _count(suite, numbers)
    return numbers


def _kind(finding: Checked) -> str:
    """Return JUnit's element for a finding; ``passed`` where it has none."""
    if not finding.passed:
        return "error" if outcome_of(finding) == CANNOT_TELL else "failure"
    open_question = finding.check == "cell" and finding.verdict in (OFF, CANNOT_TELL, MISSING)
    return "skipped" if open_question else "passed"


def _count(element: ElementTree.Element, numbers: Sequence[int]) -> None:
    """Write the numbers of cases, failures, errors and skipped ones as attributes."""
    for name, number in zip(("tests", "failures", "errors", "skipped"), numbers, strict=True):
        element.set(name, str(number))


def case_name(finding: Checked) -> str:
    """Return the name of a check's case: the check, and the thing that it is about."""
    return f"{finding.check}: {finding.what}"


def xml_text(text: str) -> str:
    r"""Return text that XML can hold: control characters as ``\x1b``, and U+FFFD for what is left that it forbids."""
    return NOT_XML.sub("\N{REPLACEMENT CHARACTER}", plain(text))


def annotations(findings: Sequence[Checked]) -> Iterator[str]:
    """Yield a line for each check that fails or can't be told, and one with the counts of each table.

    GitHub shows ten of each kind for a step, so whole tables come first.

    Source:
        GitHub, "Workflow commands for GitHub Actions": error, warning and notice, with %, CR and LF escaped.
    """
    for table, count in counts(findings).items():
        yield annotation("notice", f"kit verify: {table}", f"{table}: {counts_text(count)}")
    for finding in sorted(findings, key=lambda finding: finding.check in ("cell", "expected")):
        if command := COMMANDS.get(outcome_of(finding)):
            title = f"kit verify: {finding.verdict or 'failed'}"
            yield annotation(command, title, f"{finding.check}: {finding.what}: {finding.detail}")


def annotation(command: str, title: str, message: str) -> str:
    """Return one workflow command; its title may hold no colon and no comma that is not escaped."""
    escaped_title = _escaped(plain(title)).replace(":", "%3A").replace(",", "%2C")
    return f"::{command} title={escaped_title}::{_escaped(plain(message))}"


def _escaped(text: str) -> str:
    """Return text on one line, as workflow commands have it."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
