"""What GRPO trains on, a task's questions, and the judge that rewards the completions that it draws."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from transformers import PretrainedConfig

from sapo.models.encoding import Encoder
from sapo.models.flops import TRAINING, generation_flops, prefill_flops
from sapo.records import Cost, Question, Verdict
from sapo.settings.typed_values import build
from sapo.tasks.catalog import find_task
from sapo.tasks.task import Task
from sapo.train.distributed import gathered
from sapo.train.trainer import Chosen, RandomTexts, Round, TrainingData


@dataclass(frozen=True, slots=True)
class RlTask:
    """What the reasoner practises on: a task's questions, and how long an answer may be.

    Args:
        examples: (prompt, completion) texts as long as those to come, by which a matched budget becomes steps.
    """

    task: Task
    questions: Sequence[Question]
    max_new_tokens: int
    examples: Sequence[tuple[str, str]] = ()


@dataclass(slots=True)
class Judge:
    """Grades completions for the trainer, and keeps the length of every prompt and completion for the bill."""

    rl_task: RlTask
    encoder: Encoder
    verdicts: list[Verdict] = field(default_factory=list)
    lengths: list[tuple[int, int]] = field(default_factory=list)
    programs: int = 0

    def reward(
        self, prompts: list[str], completion_ids: list[list[int]], row: list[int], **_: Any
    ) -> list[float | None]:
        """Reward of every completion, all of them judged at once; `row` is the number of each one's question."""
        questions = [self.rl_task.questions[number] for number in row]
        answers = [[token for token in ids if token != self.encoder.eos_id] for ids in completion_ids]
        texts = self.encoder.tokenizer.batch_decode(
            answers, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        verdicts = self.rl_task.task.grade(questions, texts)
        self.verdicts += verdicts
        self.programs += sum(bool(question.tests) for question in questions)
        lengths = {prompt: len(self.encoder.prompt_ids(prompt)) for prompt in set(prompts)}
        self.lengths += [(lengths[prompt], len(ids)) for prompt, ids in zip(prompts, completion_ids, strict=True)]
        return [float(verdict == "right") for verdict in verdicts]

    def gather(self) -> None:
        """Add what the other processes' completions were."""
        self.verdicts, self.lengths = gathered(self.verdicts), gathered(self.lengths)
        self.programs = sum(gathered([self.programs]))

    def cost(self, config: PretrainedConfig, reference: bool, seconds: float) -> Cost:
        """What drawing and learning from all completions cost.

        FLOPs: drawing, each prompt computed for every completion of it as TRL does; a training step; a forward pass
        of the reference, if there is one. Padding is not counted.
        """
        passes = TRAINING + reference
        flops = sum(
            generation_flops(config, prompt, new) + passes * prefill_flops(config, prompt + new, with_head=True)
            for prompt, new in self.lengths
        )
        prompt_tokens, new_tokens = (sum(column) for column in zip(*self.lengths, strict=True))
        trained = prompt_tokens + new_tokens
        return Cost(len(self.lengths), prompt_tokens, new_tokens, float(flops), seconds, self.programs, trained)


def _of_round(this: Round) -> Chosen:
    examples = tuple(this.texts(this.own)) if this.tokens else ()
    return Chosen([RlTask(this.task, this.questions, this.max_new_tokens, examples)])


def _from_json(row: dict[str, Any]) -> RlTask:
    questions = [build(Question, question, "job: question") for question in row["questions"]]
    return RlTask(find_task(row["task"]), questions, row["max_new_tokens"], tuple(map(tuple, row["examples"])))


def _to_json(row: RlTask) -> dict[str, Any]:
    questions, examples = [dataclasses.asdict(question) for question in row.questions], [*map(list, row.examples)]
    return {
        "task": row.task.NAME,
        "questions": questions,
        "max_new_tokens": row.max_new_tokens,
        "examples": examples,
    }


def _stand_in(texts: RandomTexts, count: int) -> list[RlTask]:
    answer, questions = "".join(texts.steps()), [texts.question(number) for number in range(count)]
    return [RlTask(texts.task, questions, len(answer), ((questions[0].prompt, answer),))]


RL_TASK = TrainingData(_to_json, _from_json, _stand_in, _of_round)
