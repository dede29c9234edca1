"""The process that reads LaTeX answers: `python -m sapo.tasks.math_grading.worker`, ended by its parent at any moment.

One JSON string a line in, one JSON value a line out, in order: the list of an answer's keys, empty for an answer
that cannot be read. The first line out says that the imports are done. Time is limited by the parent
(`grading`), which kills a worker that is late; memory by the worker itself, where the system lets it.
math-verify's own limit is SIGALRM, which works in no thread and leaves sympy's state torn; it stays off.
"""

import json
import os
import sys

MEMORY = 2 << 30  # bytes of address space beyond which a term counts as unreadable


def main() -> None:
    """Serve until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # parsers print; answers have the pipe to themselves
    from sapo.tasks.math_grading.answer_keys import answer_keys
    from sapo.tasks.math_grading.values import Unreadable

    _limit_memory()
    print('"ready"', file=answers, flush=True)
    for line in sys.stdin:
        try:
            keys = sorted(answer_keys(json.loads(line)))
        except (Unreadable, ArithmeticError, ValueError, TypeError, RecursionError, MemoryError, AttributeError):
            keys = []
        print(json.dumps(keys), file=answers, flush=True)


def _limit_memory() -> None:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    except (ImportError, OSError, ValueError):
        pass  # the parent's clock still ends a term that grows


if __name__ == "__main__":
    main()
