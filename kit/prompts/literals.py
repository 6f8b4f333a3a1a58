"""Strings read out of Python source by walking its syntax tree: nothing is imported and nothing is run."""

import ast
import warnings
from collections import deque
from collections.abc import Mapping, Sequence

from kit.errors import RequestError


class Source:
    """One parsed Python file, of which nothing is run."""

    def __init__(self, text: str, where: str, loop: Mapping[str, str] | None = None) -> None:
        """Parse the text of a Python file.

        Args:
            text: the Python source.
            where: name of the file in messages.
            loop: values for the variables of loops at module level, where prompts are built in one.

        Raises:
            RequestError: it is not Python.
        """
        self.where = where
        self.loop = loop or {}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # "\s" in a plain string warns; it is the source's business
                self.tree = ast.parse(text)
        except SyntaxError as error:
            raise RequestError(f"{where}:{error.lineno}: not Python ({error.msg}); is the file cut off?") from error
        except (
            ValueError,
            RecursionError,
            MemoryError,
        ) as error:  # a zero byte, or too deep a nest
            raise RequestError(f"{where}: not Python that can be read ({error or 'nested too deep'})") from error

    def assigned(self, name: str) -> ast.expr:
        """Return the value that a module-level ``name = ...`` assigns, in the body of a loop too.

        Raises:
            RequestError: no such assignment.
        """
        statements = deque[ast.stmt](self.tree.body)
        while statements:
            node = statements.popleft()
            if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
                return node.value
            if isinstance(node, ast.For):
                statements.extendleft(reversed(node.body))
        raise RequestError(f"{self.where}: no module-level assignment to {name!r}")

    def function(self, name: str) -> ast.FunctionDef:
        """Return the module-level function that has this name.

        Raises:
            RequestError: no such function.
        """
        for node in self.tree.body:
            if isinstance(node, ast.FunctionDef) and node.name == name:
                return node
        raise RequestError(f"{self.where}: no module-level function {name!r}")

    def strings_in(self, function: str, name: str, names: Mapping[str, str]) -> list[str]:
        """Return the strings of a list that a function assigns to a name.

        Args:
            function: name of the function.
            name: name of the list.
            names: values of the function's arguments that its strings use.

        Raises:
            RequestError: the function assigns no such list, or its items are no strings.
        """
        for node in self.function(function).body:
            match node:
                case ast.Assign(targets=[ast.Name(id=target)], value=ast.List(elts=items)) if target == name:
                    return [self.text(item, names) for item in items]
        raise RequestError(f"{self.where}: {function} assigns no list to {name!r}")

    def string_at(self, line: int) -> ast.expr:
        """Return the string or f-string that begins on a line.

        Raises:
            RequestError: none does, or several do.
        """
        inside = {id(p) for node in ast.walk(self.tree) if isinstance(node, ast.JoinedStr) for p in ast.walk(node)} - {
            id(node) for node in ast.walk(self.tree) if isinstance(node, ast.JoinedStr)
        }
        found = [
            node
            for node in ast.walk(self.tree)
            if isinstance(node, ast.JoinedStr | ast.Constant)
            and node.lineno == line
            and id(node) not in inside
            and (isinstance(node, ast.JoinedStr) or isinstance(node.value, str))
        ]
        if len(found) != 1:
            raise RequestError(f"{self.where}:{line}: {len(found)} strings begin here, wanted one")
        return found[0]

    def text(self, node: ast.expr, names: Mapping[str, str]) -> str:
        """Return the value of a string expression.

        Understands constants, f-strings, ``+``, names, ``.format``, ``.replace`` and calls of the file's own functions.

        Args:
            node: the expression.
            names: the local variables; module-level strings are looked up in the file.

        Raises:
            RequestError: anything else stands there.
        """
        match node:
            case ast.Constant(value=str(value)):
                text = value
            case ast.JoinedStr(values=parts):
                text = "".join(self.text(part, names) for part in parts)
            case ast.FormattedValue(value=inner, conversion=-1, format_spec=None):
                text = self.text(inner, names)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                text = self.text(left, names) + self.text(right, names)
            case ast.Name(id=name):
                known = {**self.loop, **names}
                text = known[name] if name in known else self.text(self.assigned(name), {})
            case ast.Call(func=ast.Attribute(value=inner, attr="replace"), args=[old, new], keywords=[]):
                text = self.text(inner, names).replace(self.text(old, names), self.text(new, names))
            case ast.Call(func=ast.Attribute(value=template, attr="format"), args=args, keywords=keywords):
                positional, named = self._arguments(args, keywords, names)
                text = self.text(template, names).format(*positional, **named)
            case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords):
                positional, named = self._arguments(args, keywords, names)
                text = self.call(name, positional, named)
            case _:
                raise self._unreadable(node)
        return text

    def _arguments(
        self, args: Sequence[ast.expr], keywords: Sequence[ast.keyword], names: Mapping[str, str]
    ) -> tuple[list[str], dict[str, str]]:
        """Return the values of a call's arguments; ``**`` is refused."""
        named: dict[str, str] = {}
        for keyword in keywords:
            if keyword.arg is None:
                raise self._unreadable(keyword.value)
            named[keyword.arg] = self.text(keyword.value, names)
        return [self.text(arg, names) for arg in args], named

    def call(self, name: str, args: Sequence[str], keywords: Mapping[str, str] | None = None) -> str:
        """Return the string that a function builds, without running it.

        Understands assignments to one name, ``+=`` and ``return``.

        Raises:
            RequestError: it does anything else, or takes other arguments.
        """
        function = self.function(name)
        parameters = [parameter.arg for parameter in function.args.args]
        names = {**dict(zip(parameters, args, strict=False)), **(keywords or {})}
        if len(args) > len(parameters) or set(names) != set(parameters):
            raise RequestError(f"{self.where}: {name} takes ({', '.join(parameters)}), got {len(args)} and {keywords}")
        for statement in function.body:
            match statement:
                case ast.Expr(value=ast.Constant(value=str())):
                    continue  # the docstring
                case ast.Assign(targets=[ast.Name(id=target)], value=value):
                    names[target] = self.text(value, names)
                case ast.AugAssign(target=ast.Name(id=target), op=ast.Add(), value=value) if target in names:
                    names[target] += self.text(value, names)
                case ast.Return(value=ast.expr() as value):
                    return self.text(value, names)
                case _:
                    raise self._unreadable(statement)
        raise RequestError(f"{self.where}: {name} returns nothing")

    def keyword(self, node: ast.expr, *path: str) -> ast.expr:
        """Follow keyword names through nested ``dict(...)`` calls.

        Raises:
            RequestError: the source does not have that shape.
        """
        for name in path:
            found = [k.value for k in node.keywords if k.arg == name] if isinstance(node, ast.Call) else []
            if len(found) != 1:
                raise RequestError(f"{self.where}:{node.lineno}: wanted dict(..., {name}=...)")
            node = found[0]
        return node

    def _unreadable(self, node: ast.stmt | ast.expr) -> RequestError:
        """Make the error of code that can't be read as a string."""
        return RequestError(
            f"{self.where}:{node.lineno}: found {ast.unparse(node)[:60]!r}, which is no plain string building;"
            " the reader runs no code"
        )
