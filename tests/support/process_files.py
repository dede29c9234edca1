"""Small files of ProcessBench, PRM800K and Math-Shepherd for tests."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sapo.evaluate.process.formats import Read, read_prm800k
from sapo.records import Verdict

ROW: dict[str, Any] = {
    "id": "gsm8k-0",
    "generator": "small",
    "problem": "How many?",
    "steps": ["There are 2.", "Twice 2 is 5.", "So 5."],
    "final_answer_correct": False,
    "label": 1,
}


def save(folder: Path, *found: Any) -> Path:
    path = folder / "file.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in found), encoding="utf-8")
    return path


def step(*ratings: Any, chosen: Any = 0, human: Any = None, name: str = "") -> dict[str, Any]:
    """A step with one candidate for each rating, called `NAMEa`, `NAMEb` …"""
    completions = [{"text": f"{name}{'abc'[i]}", "rating": r, "flagged": None} for i, r in enumerate(ratings)]
    return {"completions": completions, "human_completion": human, "chosen_completion": chosen}


def line(steps: Sequence[Any], reason: str = "solution", **question: Any) -> dict[str, Any]:
    """A line of PRM800K: steps 1a, 2a … for plain ratings."""
    full = [step(s, name=str(j)) if isinstance(s, int) else s for j, s in enumerate(steps, start=1)]
    asked = {"problem": "How many?", "ground_truth_answer": "4", **question}
    return {"generation": None, "question": asked, "label": {"steps": full, "finish_reason": reason}}


def grade(golds: Sequence[str], completions: Sequence[str]) -> list[Verdict]:
    return ["right" if c == rf"\boxed{{{g}}}" else "wrong" for g, c in zip(golds, completions, strict=True)]


def prm800k(folder: Path, *found: Any, neutral_is_good: bool = True) -> Read:
    return read_prm800k(save(folder, *found), neutral_is_good, grade)
