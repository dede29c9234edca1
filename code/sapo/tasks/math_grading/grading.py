"""Grading answers in LaTeX: short cuts for equal text and plain numbers, keys from worker processes for the rest.

Thread-safe. A worker that does not answer in `SECONDS` is killed and its answer becomes a `grader_error`. An answer
that is read to be nothing is `unparsable`. A gold that cannot be read is compared as text: what has a value differs.
"""

import atexit
import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sapo.records import BadInput, Verdict
from sapo.tasks.math_grading.brackets import sides_of
from sapo.tasks.math_grading.clean import clean
from sapo.tasks.math_grading.final_answer import final_answer
from sapo.tasks.math_grading.labels import may_precede
from sapo.tasks.math_grading.numbers import MAX_ANSWER, Number, read_latex_number, read_number

SECONDS = 5.0  # for one answer
START_SECONDS = 120.0  # for a worker's imports, on a busy machine too
BATCH = 32
_CACHED = 200_000

Keys = frozenset[str]


class LatexWorkerError(BadInput):
    """No worker process could be started; says what it wrote."""


class GraderErrors(BadInput):
    """Too many answers could not be judged, so that a score over the others would mislead."""


def check_grader_errors(verdicts: Iterable[Verdict], ceiling: float = 0.001) -> int:
    """Count `grader_error` among the verdicts of a run.

    Raises:
        GraderErrors: their share lies above `ceiling`.
    """
    counted = list(verdicts)
    errors = counted.count("grader_error")
    if errors > ceiling * len(counted):
        raise GraderErrors(f"{errors} of {len(counted)} answers could not be judged, more than {ceiling:.2%} of them")
    return errors


class _Worker:
    """One worker process and the thread that reads its lines."""

    def __init__(self) -> None:
        package = Path(__file__).resolve().parents[3]
        environment = {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONWARNINGS": "ignore"}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH")]))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sapo.tasks.math_grading.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            encoding="utf-8",
        )
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        if self.answer(START_SECONDS) != "ready":
            self.kill()
            raise LatexWorkerError(
                f"{sys.executable} -m sapo.tasks.math_grading.worker ended with {self.process.returncode}"
            )

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put("")

    def ask(self, texts: Sequence[str]) -> None:
        """Send answers to read; their keys come in the same order."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died; `answer` will say so
            self.process.stdin.write("".join(json.dumps(text) + "\n" for text in texts))
            self.process.stdin.flush()

    def answer(self, seconds: float) -> object:
        """The next line's value, or None where the process is late or gone."""
        try:
            line = self.lines.get(timeout=seconds)
        except queue.Empty:
            return None
        return json.loads(line) if line else None

    def kill(self) -> None:
        """End the process, whatever it does, and wait for it."""
        self.process.kill()
        self.process.wait()
        self.reader.join()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


class LatexJudge:
    """A pool of worker processes, started when needed and kept; results are cached by text."""

    def __init__(self, workers: int, seconds: float = SECONDS) -> None:
        self.workers = workers
        self.seconds = seconds
        self._idle: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        for _ in range(workers):
            self._idle.put(None)
        self._cache: dict[str, Keys] = {}

    def keys(self, texts: Sequence[str]) -> list[Keys | None]:
        """Keys of cleaned answers: the empty set where one cannot be read, None where no worker could tell.

        Raises:
            LatexWorkerError: workers cannot be started at all.
        """
        found: dict[str, Keys | None] = {text: self._cache[text] for text in set(texts) if text in self._cache}
        wanted = sorted(set(texts) - found.keys())
        batches = [wanted[start : start + BATCH] for start in range(0, len(wanted), BATCH)]
        if len(batches) > 1 and self.workers > 1:
            with ThreadPoolExecutor(self.workers) as threads:
                answers = list(threads.map(self._batch, batches))
        else:
            answers = [self._batch(batch) for batch in batches]
        for batch, keys in zip(batches, answers, strict=True):
            found.update(zip(batch, keys, strict=True))
        if len(self._cache) > _CACHED:
            self._cache = {}
        for text in wanted:
            if (known := found[text]) is not None:
                self._cache[text] = known
        return [found[text] for text in texts]

    def _batch(self, texts: Sequence[str]) -> list[Keys | None]:
        worker = self._idle.get()
        results: list[Keys | None] = []
        try:
            while len(results) < len(texts):
                worker = worker or _Worker()
                worker.ask(texts[len(results) :])
                while len(results) < len(texts) and worker is not None:
                    answer = worker.answer(self.seconds)
                    results.append(frozenset(answer) if isinstance(answer, list) else None)
                    if not isinstance(answer, list):
                        worker.kill()
                        worker = None
        finally:
            self._idle.put(worker)
        return results

    def close(self) -> None:
        """End the workers that are idle; later questions start new ones."""
        for _ in range(self.workers):
            worker = self._idle.get()
            if worker is not None:
                worker.kill()
            self._idle.put(None)


_SHARED: list[LatexJudge] = []
_SHARED_LOCK = threading.Lock()


def shared_judge() -> LatexJudge:
    """The process's judge, with a worker for each of at most four cores."""
    with _SHARED_LOCK:
        if not _SHARED:
            judge = LatexJudge(min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2))
            _SHARED.append(judge)
            atexit.register(judge.close)
        return _SHARED[0]


def grade_latex(golds: Sequence[str], completions: Sequence[str], judge: LatexJudge | None = None) -> list[Verdict]:
    """Judge the final answers of completions against gold answers in LaTeX; the sequences run in step."""
    verdicts: list[Verdict | None] = []
    open_cases: list[tuple[int, str, str]] = []
    for index, (gold, completion) in enumerate(zip(golds, completions, strict=True)):
        answer = final_answer(completion)
        verdict = "unparsable" if answer is None else _short_cut(gold, answer)
        verdicts.append(verdict)
        if verdict is None and answer is not None:
            open_cases.append((index, clean(gold), clean(answer)))
    texts = [text for _, gold, answer in open_cases for text in (gold, answer)]
    keys = (judge or shared_judge()).keys(texts) if texts else []
    for (index, _, _), expected, stated in zip(open_cases, keys[::2], keys[1::2], strict=True):
        verdicts[index] = _compare(expected, stated)
    return [verdict for verdict in verdicts if verdict is not None]


def _short_cut(gold: str, answer: str) -> Verdict | None:
    """The verdict where equal text, plain numbers or sheer length decide."""
    if answer == gold:
        return "right"
    if len(answer) > MAX_ANSWER:
        return "unparsable"
    expected, stated = clean(gold), clean(answer)
    if expected == stated:
        return "right"
    if (number := read_latex_number(expected)) is not None and (other := read_latex_number(stated)) is not None:
        return "right" if number == other else "wrong"
    return None


def _compare(expected: Keys | None, stated: Keys | None) -> Verdict:
    """The verdict on keys; a gold without any has no value, so that an answer with one differs from it."""
    if expected is None or stated is None:
        return "grader_error"
    if not stated:
        return "unparsable"
    return "right" if same(expected, stated) else "wrong"


def same(expected: Keys, stated: Keys) -> bool:
    """Whether a gold and an answer share a key (see `answer_keys` for labels, `values.real_key` for `real`)."""
    wanted, said = _plain(expected), _plain(stated)
    if wanted & said or any(f"label {key}" in stated or f"claim {key}" in stated for key in wanted):
        return True
    if any(f"label {key}" in expected for key in said):
        return True
    return any(_same_where_real(one, other) for one in _real(wanted) for other in _real(said))


def _plain(keys: Keys) -> set[str]:
    return {key for key in keys if not key.startswith(("label ", "claim "))}


def _real(keys: set[str]) -> list[list[str]]:
    return [key[5:].split("|") for key in keys if key.startswith("real ")]


def _same_where_real(one: list[str], other: list[str]) -> bool:
    return all(a == b or "?" in (a, b) for a, b in zip(one, other, strict=True))


def grade_number(gold: str, completion: str) -> Verdict:
    """Judge a completion whose gold answer is a number, which may be written in LaTeX or end a calculation."""
    answer = final_answer(completion)
    if answer is None:
        return "unparsable"
    if answer == gold:
        return "right"
    expected, stated = _number(gold), _number(answer)
    if stated is None:
        return "unparsable"
    return "right" if stated == expected else "wrong"


def _number(text: str) -> Number | None:
    number = read_number(text)
    if number is not None or len(text) > MAX_ANSWER:
        return number
    cleaned = clean(text)
    sides = sides_of(cleaned)
    known = set(sides[1::2]) <= {"=", r"\approx"} and all(may_precede(side) for side in sides[:-1:2])
    return read_latex_number(sides[-1]) if known else None


def grade_numbers(golds: Sequence[str], completions: Sequence[str]) -> list[Verdict]:
    """`grade_number` for sequences that run in step."""
    return [grade_number(gold, completion) for gold, completion in zip(golds, completions, strict=True)]
