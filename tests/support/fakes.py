"""Stand-ins that honour the real interfaces: a sampler that follows a script, a task of lines, a verifier by table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sapo.records import Cost, Question, Trajectory, Verdict
from sapo.sampling.protocol import Completion, Request, Until, cut
from sapo.tasks.steps import split_lines
from sapo.tasks.task import DataSource, Split

MOST = 2.0**63  # seeds are below it

Reply = Callable[[Request], str]


@dataclass
class ScriptedSampler:
    """Answers every request with `reply(request)`, one token a line; `calls` keeps what was asked at once."""

    reply: Reply
    calls: list[list[Request]] = field(default_factory=list)
    finished: bool = True

    def complete(
        self, requests: Sequence[Request], temperature: float, max_new_tokens: int, until: Until | None = None
    ) -> tuple[list[Completion], Cost]:
        self.calls.append(list(requests))
        found = [self._said(self.reply(request), until) for request in requests]
        return found, Cost(rollouts=len(requests), generated_tokens=sum(c.tokens for c in found))

    def _said(self, text: str, until: Until | None) -> Completion:
        lines = text.splitlines(keepends=True)
        for count in range(1, len(lines) + 1):
            complete = cut("".join(lines[:count]), until)
            if complete is not None:
                return Completion(complete, count, True)
        return Completion(text, text.count("\n"), self.finished)

    @property
    def sizes(self) -> list[int]:
        return [len(call) for call in self.calls]


class LineTask:
    """Steps are lines; a text is right when its last line is `win`, unparsable when it is neither that nor `lose`."""

    NAME = "lines"

    def load(self, split: Split, source: DataSource) -> list[Question]:
        return [question(f"{split}/{source.root}")]

    def split(self, text: str) -> tuple[str, ...]:
        return split_lines(text)

    def grade(self, questions: Sequence[Question], completions: Sequence[str]) -> list[Verdict]:
        assert len(questions) == len(completions)
        known: dict[str, Verdict] = {"win\n": "right", "lose\n": "wrong"}
        return [known.get((split_lines(text) or ("",))[-1], "unparsable") for text in completions]

    def answered(self, text: str) -> int | None:
        return None

    def unparsable_kind(self, completion: str) -> str:
        return "no last line"

    def normalise(self, text: str) -> str:
        return text.strip()


@dataclass
class TableVerifier:
    """Scores steps by looking each of them up."""

    table: Mapping[str, float]

    def score(self, items: Sequence[tuple[str, Sequence[str]]]) -> list[tuple[float, ...]]:
        return [tuple(self.table[step] for step in steps) for _, steps in items]


def question(name: str = "q", tests: tuple[str, ...] = ()) -> Question:
    return Question(name, f"Prompt of {name}.\n", "win", tests=tests)


def trajectory(name: str, steps: Sequence[str], question_id: str = "q") -> Trajectory:
    """A trajectory of `LineTask`: one step for each word given, judged by its last one."""
    lines = tuple(f"{step}\n" for step in steps)
    return Trajectory(name, question_id, lines, LineTask().grade([question()], ["".join(lines)])[0], "sample")


def wins_unless_bad(request: Request) -> str:
    """A reasoner that always finds the way, except from a prefix that holds a step `bad…`."""
    return "lose\n" if "bad" in request.prefix else "win\n"


@dataclass(frozen=True)
class LabelledCase:
    """A trajectory whose steps a person has labelled: `faults` are empty where a step is right."""

    name: str
    problem: str
    steps: list[str]
    faults: list[str]


def read_labelled(file: str) -> list[LabelledCase]:
    """Cases of `tests/data/file`: `[name] problem`, then a step a line, ` #! fault` behind the wrong ones."""
    cases: list[LabelledCase] = []
    for line in (Path(__file__).parents[1] / "data" / file).read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            name, _, problem = line[1:].partition("] ")
            cases.append(LabelledCase(name, problem, [], []))
        elif line and not line.startswith("#"):
            step, _, fault = line.partition(" #! ")
            cases[-1].steps.append(f"{step}\n")
            cases[-1].faults.append(fault)
    return cases


class LetterTask(LineTask):
    """Half of the questions want an answer that begins with a letter, half one that does not; grades are kept."""

    def __init__(self) -> None:
        self.graded: list[tuple[str, str]] = []

    def grade(self, questions: Sequence[Question], completions: Sequence[str]) -> list[Verdict]:
        pairs = [(one.answer, text) for one, text in zip(questions, completions, strict=True)]
        self.graded += pairs
        return ["right" if self.right(*pair) else "wrong" for pair in pairs]

    @staticmethod
    def right(answer: str, text: str) -> bool:
        return text[:1].isalpha() == (answer == "letter")
