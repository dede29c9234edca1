"""Ray's actors draw what one process draws, also when one of them is killed while it works.

Marked nightly: a cluster takes ten seconds to start. What needs no cluster is in test_engines_vllm.py.
"""

import dataclasses
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tiny_models import tiny_reasoner

from sapo.models.loading import load_reasoner, save_reasoner
from sapo.records import BadInput
from sapo.sampling.factory import Drawing, open_sampler, opener
from sapo.sampling.hf_engine import LocalSampler
from sapo.sampling.protocol import Request
from sapo.sampling.token_requests import EngineError
from sapo.settings.configure import compose

pytestmark = [pytest.mark.nightly, pytest.mark.filterwarnings("ignore:.*:FutureWarning:ray")]
ray = pytest.importorskip("ray")
RaySampler = pytest.importorskip("sapo.sampling.ray_engine").RaySampler

SETTINGS = compose(Path(__file__).parents[2], ["profile=nano", "engine.actors=2"])[1]
DRAWING = Drawing(SETTINGS.engine, SETTINGS.tuning, 16)
REQUESTS = [Request(f"Ben has {number % 9} coins.\n", "", number) for number in range(300)]


@pytest.fixture(scope="module")
def reasoner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("tiny") / "reasoner"
    save_reasoner(*tiny_reasoner("llama"), folder)
    yield folder
    ray.shutdown()


def test_actors_draw_what_one_process_draws_at_costs_that_do_not_depend_on_their_number(
    reasoner: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And one line says how far all of them are."""
    model, encoder = load_reasoner(reasoner)
    local, spent = LocalSampler(model, encoder, 16).complete(REQUESTS, 1.0, 24)
    two = open_sampler(reasoner, DRAWING, tmp_path, "rollouts").complete(REQUESTS, 1.0, 24)
    assert capsys.readouterr().err.count("rollouts: 300/300 samples") == 1
    engine = dataclasses.replace(SETTINGS.engine, actors=1)
    one = open_sampler(reasoner, dataclasses.replace(DRAWING, engine=engine), tmp_path).complete(REQUESTS, 1.0, 24)
    assert two[0] == local and len({completion.text for completion in local}) > 100
    assert two == one
    assert (two[1].rollouts, two[1].generated_tokens) == (300, spent.generated_tokens)


def test_what_a_killed_actor_was_drawing_is_drawn_again(reasoner: Path, tmp_path: Path) -> None:
    """The first actor is killed as soon as a piece of work has come to it, by `until`, which runs where it draws."""
    model, encoder = load_reasoner(reasoner)
    local, _ = LocalSampler(model, encoder, 16).complete(REQUESTS, 1.0, 24)
    sampler = RaySampler(partial(opener, reasoner, DRAWING, tmp_path), SETTINGS.engine, False)
    first, second = (ray.get(actor.__ray_call__.remote(lambda drawer: os.getpid())) for actor in sampler.actors)
    killed = tmp_path / "killed"

    def until(text: str) -> int | None:
        if os.getpid() == first:
            killed.write_text(str(first), encoding="utf-8")
            os.kill(first, signal.SIGKILL)
        return None

    found, cost = sampler.complete(REQUESTS, 1.0, 24, until)
    assert killed.read_text(encoding="utf-8") == str(first)
    again = {ray.get(actor.__ray_call__.remote(lambda drawer: os.getpid())) for actor in sampler.actors}
    assert len(again) == 2 and first not in again and second in again
    assert found == local and cost.rollouts == 300


def test_an_engines_own_error_comes_back_as_it_is(reasoner: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError) as caught:
        open_sampler(reasoner, DRAWING, tmp_path).complete([Request("", "", 1)], 1.0, 8)
    assert str(caught.value) == "prompt of 0 tokens: ''"


def test_an_actor_that_dies_whenever_it_works_ends_the_work(reasoner: Path, tmp_path: Path) -> None:
    def until(text: str) -> int | None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(BadInput, match="an actor was lost 4 times"):
        open_sampler(reasoner, DRAWING, tmp_path).complete(REQUESTS[:4], 1.0, 8, until)
