"""Select the statements of a model's text that its functions need: the text is parsed here, never run.

What is kept is what the wanted names lead to: definitions, imports and assignments, wherever they stand, and statements
that fill a variable among them. Examples, prints, asserts and questions to a user are left out, also as assignments
(``numbers = input().split()``, ``result = f(3)``): nothing that is kept looks at them.
"""

import ast
import builtins
import re
import symtable
import warnings
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from kit.sandbox.parsing import LONGEST, Parser

STARTS = re.compile(r"(?:async|def|class|from|import|if|for|while|try|with|match)\b|@\w|[A-Za-z_][^=\n(]*=(?!=)")
"""Pattern of a statement worth keeping at the left margin: a definition, import, block or assignment."""
CONTINUES = re.compile(r"[#)\]}]|\"\"\"|'''|(?:else|elif|except|finally)\b")
"""Pattern of a line that may stand at the left margin within a statement or between two."""
AFTER_BACKSLASH = re.compile(r"\s*(?:[#;]|\\?\Z)")
"""A line that still belongs to the statement before it, where that ends in a backslash."""
TRIES = 12
"""Most stretches of prose that are looked for; each costs one parse of the text."""
ROUNDS = 8
"""Most rounds of looking for statements that fill a variable of those found in the round before."""
COMPREHENSIONS = ("listcomp", "setcomp", "dictcomp", "genexpr")
READ_NAMES_FROM_TEXT = {"eval", "exec", "globals", "vars"}
"""Functions whose caller may need a name that stands nowhere in its code."""
ASKS_OR_ENDS = {"input", "exit", "quit", "breakpoint"}
KINDS = ("definition", "import", "assignment", "other")
NOT_DEFINITIONS = ("assignment", "other")
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
ASSIGNMENTS = (ast.Assign, ast.AnnAssign, ast.AugAssign)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement at the left margin, or several on one line."""

    lines: range
    """Positions of its lines, decorators included."""
    kind: str
    """``definition``, ``import``, ``assignment`` or ``other``."""
    binds: frozenset[str]
    """Names that it defines, imports or assigns."""
    now: frozenset[str]
    """Names that it looks up when it runs."""
    later: frozenset[str]
    """Names that its functions look up when they are called."""
    star_import: bool
    """It imports names that it does not mention, or changes how the file is read."""
    setting: bool
    """It is a call that raises the limit on recursion."""
    changes: frozenset[str]
    """Names of what it gives an attribute or an item to, or whose decorator a definition bears."""
    asserts: bool
    """It is an assert or a print, which can only fail or show something."""


def empty(code: str, names: Sequence[str], parser: Parser) -> bool:
    """Whether the functions of these names do nothing: a docstring, ``pass``, ``...``, a ``NotImplementedError``."""
    found = [n for n in parser.parse(code).nodes or [] if isinstance(n, DEFINITIONS) and n.name in names]
    return bool(found) and all(_does_nothing(line) for node in found for line in node.body)


def _does_nothing(node: ast.stmt) -> bool:
    if isinstance(node, ast.Raise) and node.exc is not None:
        return any(
            isinstance(value, str | bytes) and "NotImplementedError" in repr(value)
            for part in ast.walk(node.exc)
            for _, value in ast.iter_fields(part)
        )
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def _chunk_of(lines: Sequence[str], at: int) -> range:
    """Return the lines around a line that is not Python: from the margin before it to the next start of a statement."""
    first = min(at, len(lines) - 1)
    while first > 0 and (not lines[first].strip() or lines[first][0].isspace()):
        first -= 1
    while first > 0 and not STARTS.match(lines[first]) and _prose(lines[first - 1]):
        first -= 1
    last = first + 1
    while last < len(lines) and not STARTS.match(lines[last]):
        last += 1
    return range(first, last)


def _prose(line: str) -> bool:
    """Return whether a line at the left margin starts nothing that is worth keeping."""
    return not line.strip() or not (line[0].isspace() or STARTS.match(line) or CONTINUES.match(line))


def python_in(text: str, parser: Parser) -> list[str]:
    """Return the lines of a text, those that are not Python left empty; empty if it can't be told which they are.

    Of a text that is too long to be parsed the beginning that is not.
    """
    lines = _beginning(text)
    for attempt in range(TRIES):
        parsed = parser.parse("\n".join(lines))
        if parsed.nodes is not None:
            return lines
        if parsed.error_line is None:
            return []
        start = _first_start(lines) if attempt == 0 else 0
        before = range(start) if any(line.strip() for line in lines[:start]) else None
        chunk = before or _chunk_of(lines, parsed.error_line)
        if not any(lines[n].strip() for n in chunk):
            return []
        for n in chunk:
            lines[n] = ""
    return []


def _beginning(text: str) -> list[str]:
    """The lines of a text; where it is too long to be parsed, those before the last statement that is not too far."""
    blank = len(text) - len(text.lstrip())
    if len(text.rstrip()) <= blank + LONGEST:
        return text.split("\n")
    lines = text[: blank + LONGEST].split("\n")
    return lines[: next((n for n in reversed(range(len(lines))) if STARTS.match(lines[n])), 0)]


def _first_start(lines: Sequence[str]) -> int:
    """Return the position of the first line that may start a statement; behind the last line if none does."""
    return next((n for n, line in enumerate(lines) if STARTS.match(line)), len(lines))


def _kind(nodes: Sequence[ast.stmt]) -> str:
    kinds = {
        "definition"
        if isinstance(node, DEFINITIONS)
        else "import"
        if isinstance(node, ast.Import | ast.ImportFrom)
        else "assignment"
        if isinstance(node, ASSIGNMENTS)
        else "other"
        for node in nodes
    }
    return kinds.pop() if len(kinds) == 1 else "other"


def _prints(node: ast.stmt) -> bool:
    call = node.value if isinstance(node, ast.Expr) else None
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "print"


def _changed(node: ast.stmt) -> Iterator[str]:
    """The names whose attributes or items an assignment sets: ``A`` in ``A.k = 2``; of a definition, its decorators."""
    parts: list[ast.expr] = node.decorator_list if isinstance(node, DEFINITIONS) else []
    if isinstance(node, ast.Assign):
        parts = node.targets
    elif isinstance(node, ast.AnnAssign | ast.AugAssign):
        parts = [node.target]
    for part in parts:
        base: ast.expr = part
        while isinstance(base, ast.Attribute | ast.Subscript | ast.Call):
            base = base.func if isinstance(base, ast.Call) else base.value
        if isinstance(base, ast.Name) and (isinstance(node, DEFINITIONS) or base is not part):
            yield base.id


def _scopes(table: symtable.SymbolTable) -> Iterator[tuple[symtable.SymbolTable, bool]]:
    """Yield all scopes below a module's, each with whether its code runs only when a function is called."""
    todo = [(child, False) for child in table.get_children()]
    while todo:
        scope, called = todo.pop()
        called = called or (scope.get_type() == "function" and scope.get_name() not in COMPREHENSIONS)
        yield scope, called
        todo.extend((child, called) for child in scope.get_children())


def _statement(nodes: Sequence[ast.stmt], span: range, code: str) -> Statement:
    """Return one statement with the names that it binds and the names that it looks up."""
    table = symtable.symtable(code, "<text>", "exec")
    symbols = table.get_symbols()
    now = {symbol.get_name() for symbol in symbols if symbol.is_referenced()}
    later: set[str] = set()
    for scope, called in _scopes(table):
        (later if called else now).update(symbol.get_name() for symbol in scope.get_symbols() if symbol.is_global())
    return Statement(
        lines=span,
        kind=_kind(nodes),
        binds=frozenset(s.get_name() for s in symbols if s.is_assigned() or s.is_imported() or s.is_namespace()),
        now=frozenset(now),
        later=frozenset(later),
        star_import=any(
            isinstance(n, ast.ImportFrom) and (n.module == "__future__" or n.names[0].name == "*") for n in nodes
        ),
        changes=frozenset(name for node in nodes for name in _changed(node)),
        asserts=all(isinstance(node, ast.Assert) or _prints(node) for node in nodes),
        setting="setrecursionlimit" in code and all(isinstance(node, ast.Expr | ast.Import) for node in nodes),
    )


def statements(lines: Sequence[str], parser: Parser) -> list[Statement]:
    """Return the statements at the left margin of a text; none if it is not Python, or can't be taken apart."""
    groups: list[tuple[list[ast.stmt], range]] = []
    for node in parser.parse("\n".join(lines)).nodes or []:
        decorators = node.decorator_list if isinstance(node, DEFINITIONS) else []
        first = min([node.lineno, *(d.lineno for d in decorators)]) - 1
        last = _with_continuation(lines, node.end_lineno or node.lineno)
        if groups and first < groups[-1][1].stop:  # on one line with the one before
            nodes, span = groups[-1]
            nodes.append(node)
            groups[-1] = (nodes, range(span.start, max(last, span.stop)))
        else:
            groups.append(([node], range(first, last)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return [_statement(nodes, span, "\n".join([*(lines[n] for n in span), ""])) for nodes, span in groups]
        except (SyntaxError, RecursionError):  # Python only beside its neighbours, or one level of nesting too deep
            return []


def _with_continuation(lines: Sequence[str], end: int) -> int:
    """The end of a statement with the empty lines and comments that a backslash at its end makes a part of it."""
    while end < len(lines) and lines[end - 1].endswith("\\") and AFTER_BACKSLASH.match(lines[end]):
        end += 1
    return end


@dataclass(slots=True)
class Selection:
    """The statements that are kept so far."""

    found: Sequence[Statement]
    first_root: int
    """Position of the first statement that defines a wanted name."""
    binders: dict[str, list[int]]
    """Positions of the statements that bind a name, in order."""
    kept: set[int] = field(default_factory=set)
    wanted: dict[str, int] = field(default_factory=dict)
    """Names asked for, each with the position before which its statements are kept."""

    def want(self, names: Iterable[str], before: int) -> None:
        """Keep what binds the names before that position, and what this needs in its turn."""
        todo = [(name, before) for name in names]
        while todo:
            name, limit = todo.pop()
            done = self.wanted.get(name, -1)
            if limit <= done:
                continue
            self.wanted[name] = limit
            binders = self.binders.get(name, [])
            for at in binders[bisect_left(binders, done) : bisect_left(binders, limit)]:
                todo.extend(self._keep(at))
            if name in READ_NAMES_FROM_TEXT and done < 0:
                todo.extend((bound, len(self.found)) for bound in self._nameable())

    def keep(self, at: int) -> None:
        """Keep one statement, and what it needs."""
        for name, limit in self._keep(at):
            self.want([name], limit)

    def _keep(self, at: int) -> list[tuple[str, int]]:
        """Keep one statement; gives the names that it needs, each with the position before which."""
        if at in self.kept:
            return []
        self.kept.add(at)
        statement, end = self.found[at], len(self.found)
        return [(name, at) for name in statement.now] + [(name, end) for name in statement.later]

    def _nameable(self) -> Iterator[str]:
        """Yield the names that code made from text may use: definitions, and names bound before the function."""
        for at, statement in enumerate(self.found):
            if statement.kind == "definition" or (at < self.first_root and not statement.now & ASKS_OR_ENDS):
                yield from statement.binds

    def missing(self) -> set[str]:
        """Return the names that are needed, that nothing here binds and that Python lacks."""
        return {name for name in self.wanted if name not in self.binders and not hasattr(builtins, name)}


def _reaching(found: Sequence[Statement], names: Iterable[str], kinds: Iterable[str]) -> set[str]:
    """The names whose use leads to one of these names, through statements of these kinds; these names included."""
    users: dict[str, list[int]] = defaultdict(list)
    for at, statement in enumerate(found):
        if statement.kind in kinds:
            for name in statement.now | statement.later:
                users[name].append(at)
    reached = set(names)
    todo, seen = list(reached), set[int]()
    while todo:
        for at in users.pop(todo.pop(), ()):
            if at not in seen:
                seen.add(at)
                todo.extend(found[at].binds - reached)
                reached |= found[at].binds
    return reached


def _settings(found: Sequence[Statement], first_root: int) -> list[int]:
    """Calls on imported modules before the function (``random.seed(0)``), and the limit on recursion anywhere."""
    imported = {name for statement in found if statement.kind == "import" for name in statement.binds}
    known = (imported | set(dir(builtins))) - ASKS_OR_ENDS - {"print"}
    return [
        at
        for at, s in enumerate(found)
        if s.star_import
        or s.setting
        or (at < first_root and s.kind in NOT_DEFINITIONS and not s.binds and s.now & imported and s.now <= known)
    ]


def _fillers(selection: Selection, runs_root: set[str]) -> list[int]:
    """Statements that fill a needed variable (a loop over it, a call, an item set) and don't run the function."""
    found, kept = selection.found, selection.kept
    variables = {name for at in kept if found[at].kind in NOT_DEFINITIONS for name in found[at].binds}
    touched = _reaching(found, variables, ["definition"])
    unwanted = runs_root | ASKS_OR_ENDS
    return [
        at
        for at, s in enumerate(found)
        if at not in kept
        and s.kind in NOT_DEFINITIONS
        and not (s.kind == "assignment" and s.binds)
        and not s.asserts
        and (used := s.now | s.later) & touched
        and not (used - s.binds) & unwanted
    ]


def _members(selection: Selection, roots: Sequence[str], runs_root: set[str]) -> list[int]:
    """Find statements that add to a needed definition (``A.k = 2``), or register with it (``@f.register``)."""
    found, kept = selection.found, selection.kept
    needed = {name for at in kept if found[at].kind == "definition" for name in found[at].binds}
    variables = {name for at in kept if found[at].kind in NOT_DEFINITIONS for name in found[at].binds}
    registers = _reaching(found, variables, ["definition"]) | set(roots)
    unwanted = (runs_root - needed) | set(roots) | ASKS_OR_ENDS
    return [
        at
        for at, s in enumerate(found)
        if at not in kept
        and (
            (s.kind == "definition" and s.changes & registers)
            or (s.kind == "assignment" and not s.binds and s.changes & needed and not (s.now | s.later) & unwanted)
        )
    ]


def _attributes(found: Sequence[Statement], roots: Sequence[str]) -> list[int]:
    """Attributes given to the function itself (``f.cache = {}``)."""
    return [
        at
        for at, s in enumerate(found)
        if s.kind == "assignment" and not s.binds and not s.later and len(s.now) == 1 and s.now <= set(roots)
    ]


def select(found: Sequence[Statement], roots: Sequence[str]) -> Selection:
    """Return the statements that the names in ``roots`` need."""
    binders: dict[str, list[int]] = defaultdict(list)
    for at, statement in enumerate(found):
        for name in statement.binds:
            binders[name].append(at)
    first_root = min((binders[name][0] for name in roots if name in binders), default=len(found))
    selection = Selection(found, first_root, dict(binders))
    selection.want(roots, len(found))
    for at in (*_settings(found, first_root), *_attributes(found, roots)):
        selection.keep(at)
    runs_root = _reaching(found, roots, KINDS)
    for _ in range(ROUNDS):
        if not (more := {*_fillers(selection, runs_root), *_members(selection, roots, runs_root)}):
            break
        for at in sorted(more):
            selection.keep(at)
    return selection


def text_of(lines: Sequence[str], selection: Selection) -> str:
    """Return the lines of the statements that are kept, with the comments and empty lines between them."""
    kept = [n for at in sorted(selection.kept) for n in selection.found[at].lines]
    left_out = {n for at, s in enumerate(selection.found) if at not in selection.kept for n in s.lines} - set(kept)
    if not kept:
        return ""
    return "\n".join(lines[n] for n in range(kept[0], kept[-1] + 1) if n not in left_out) + "\n"
