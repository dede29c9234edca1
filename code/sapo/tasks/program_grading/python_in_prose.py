"""Python statements in a text that is not Python as a whole: prose around them, or an interactive session."""

import ast
import builtins
import re
from collections.abc import Sequence

from sapo.tasks.program_grading.judging import syntax_tree
from sapo.tasks.steps import LineScanner

MAX_DECORATORS = 5  # of one definition

_SESSION_PROMPT = re.compile(r"[ \t]*(?:>>>|\.\.\.:?|In \[\d+\]:)(?: |$)")
# Beginnings of statements at the left margin. What begins as a definition and is no Python is broken, not prose.
_NAMES = r"[\w.]+(?:\s+as\s+\w+)?"
DEFINITION = re.compile(
    r"(?:async\s+)?def\s+(?P<function>\w+)\s*[(\[]|class\s+(?P<class>\w+)\s*[:(\[]|@[\w.]+(?:\(.*)?\s*$"
    rf"|import\s+{_NAMES}(?:\s*,\s*{_NAMES})*\s*(?:#.*)?$|from\s+[\w.]+\s+import\s+[\w(*]"
)
STATEMENT = re.compile(r"(?:if|for|while|with|try)\b.*:|[A-Za-z_][\w.,\[\] ]*(?::[^=]+)?(?:[-+*/%|&^]|//|\*\*)?=(?!=)")
_GOES_ON = re.compile(r"(?:else|elif|except|finally)\b|[)\]}#]")


def bound_names(tree: ast.Module) -> set[str]:
    """Names that the statements of a module bind, those inside functions and classes not counted."""
    names: set[str] = set()
    todo: list[ast.AST] = [*tree.body]
    while todo:
        match node := todo.pop():
            case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.ClassDef(name):
                names.add(name)
            case ast.Import(aliases) | ast.ImportFrom(_, aliases):
                names |= {alias.asname or alias.name.split(".")[0] for alias in aliases}
            case ast.Name(name, ast.Store()):
                names.add(name)
            case ast.Lambda() | ast.comprehension():
                pass
            case _:
                todo += ast.iter_child_nodes(node)
    return names


def session(text: str) -> str:
    """The statements of an interactive session: lines behind a prompt, and indented ones; empty where it is none."""
    if not any(_SESSION_PROMPT.match(line) for line in text.split("\n")):
        return ""
    marked = [(line, _SESSION_PROMPT.match(line)) for line in text.split("\n")]
    return "\n".join(line[mark.end() :] if mark else line for line, mark in marked if mark or line[:1] in (" ", "\t"))


def statements(text: str) -> str:
    """The statements of a text without the prose around them; empty where a definition is no Python."""
    lines = text.split("\n")
    kept: list[str] = []
    bound, broken, number = {*dir(builtins)}, set[str](), 0
    while number < len(lines):
        definition = DEFINITION.match(lines[number])
        end = _statement_end(lines, number) if definition or STATEMENT.match(lines[number]) else number
        source = "\n".join(lines[number:end])
        tree = syntax_tree(source) if end > number else None
        if tree is None:
            broken |= {definition["function"] or definition["class"] or lines[number]} if definition else set()
            number += 1
            continue
        names = bound_names(tree)
        if definition or _used_names(tree) <= bound | names:  # else a formula in prose
            kept.append(source)
            bound |= names
            broken -= names
        number = end
    return "" if broken else "\n".join(kept)


def _used_names(tree: ast.Module) -> set[str]:
    nodes = list(ast.walk(tree))
    own = {node.arg for node in nodes if isinstance(node, ast.arg)}
    own |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return {node.id for node in nodes if isinstance(node, ast.Name)} - own


def _statement_end(lines: Sequence[str], start: int) -> int:
    """The line behind the statement that begins at a line: its indented lines, `else`, closing brackets, strings."""
    scanner = LineScanner()
    decorating = True
    for number in range(start, len(lines)):
        line = lines[number]
        if number > start and line.strip() and not line[0].isspace() and not scanner.quote:
            begins = DEFINITION.match(line) or STATEMENT.match(line)
            if (begins and not decorating) or not (decorating or scanner.depth or _GOES_ON.match(line)):
                return number
        decorating = decorating and line.startswith("@") and number - start < MAX_DECORATORS
        scanner.statement_ends(line + "\n")
    return len(lines)
