"""The child's side: run one candidate program, then answer calls with plain values.

Nothing here is trusted once the candidate has run in the same process. Every message it sends is either a value,
which the judge's tests must still find right, or the admission that there is none.
"""

import builtins
import sys
import types
from collections.abc import Callable
from typing import Any

from strict_sandbox.inside import wire

MODULE = "solution"  # never "__main__": main guards stay shut
TOO_BIG, MEMORY, EXIT = ["big"], ["memory"], ["exit"]


def failure(error: BaseException) -> wire.Tree:
    """What to say of an exception: its nearest builtin class by name, never its text."""
    if isinstance(error, wire.TooBig):
        return TOO_BIG
    if isinstance(error, MemoryError):
        return MEMORY
    if isinstance(error, SystemExit | KeyboardInterrupt | GeneratorExit):
        return EXIT
    names = [cls.__name__ for cls in type(error).__mro__ if getattr(builtins, cls.__name__, None) is cls]
    return ["raised", names[0] if names else "Exception"]


class Candidate:
    """One program's namespace and the values that stayed in it."""

    def __init__(self) -> None:
        self.module = types.ModuleType(MODULE)
        self.space = self.module.__dict__
        sys.modules[MODULE] = self.module
        self.held: list[Any] = []
        self.decoder = wire.Decoder(lambda number, _: self.held[number])

    def hold(self, value: Any) -> int:
        self.held.append(value)
        return len(self.held) - 1

    def execute(self, source: str) -> None:
        exec(compile(source, f"<{MODULE}>", "exec", 0, True), self.space)

    def answer(self, request: wire.Tree) -> wire.Tree:
        try:
            verb, target, *rest = request
            values = [self.decoder.value(tree) for tree in rest]
            value = getattr(self, f"do_{verb}")(target, *values)
            return ["value", wire.Encoder(self.hold).tree(value)]
        except BaseException as error:
            return failure(error)

    def do_call(self, target: str | int, positional: Any, named: Any) -> Any:
        """Call an entry point by name, or a held value by number."""
        function = self.held[target] if isinstance(target, int) else self.space[target]
        return function(*positional, **named)

    def do_get(self, target: int, name: str) -> Any:
        return getattr(self.held[target], name)

    def do_set(self, target: int, name: str, value: Any) -> None:
        setattr(self.held[target], name, value)

    def do_nonce(self, nonce: str, tests: list[str]) -> str:
        """Run the tests in this process: proof of nothing against a hostile program, so counted apart."""
        for test in tests:
            exec(test, self.space)
        return nonce


def _context_error(error: BaseException, job: wire.Tree) -> str:
    """Set-up code may use what only the candidate defines; other failures are the harness's own."""
    if isinstance(error, NameError) and error.name in job["entry_points"]:
        return ""
    return f"{type(error).__name__}: {error}"


def run(receive: Callable[[int], bytes], send: Callable[[bytes], Any]) -> None:
    """Serve one job: set-up code, the candidate, then calls until the stream ends."""
    reader = wire.Reader(receive, limit=1 << 31)
    job = reader.frame()
    candidate = Candidate()
    ready = ""
    try:
        candidate.execute(job["context"])
    except BaseException as error:
        ready = _context_error(error, job)
    send(wire.frame(["ready", ready]))
    try:
        candidate.execute(job["source"])
        loaded = ["loaded"]
    except BaseException as error:
        loaded = failure(error)
    send(wire.frame(loaded))
    while loaded == ["loaded"]:
        request = reader.frame()
        answer = candidate.answer(request)
        try:
            text = wire.frame(answer)
        except MemoryError:
            text = wire.frame(MEMORY)
        send(text)
