"""A real server process, `transformers serve`, draws what the embedded sampler draws; marked nightly."""

import dataclasses
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from sapo.models.encoding import Encoder
from sapo.models.loading import load_reasoner
from sapo.records import BadInput
from sapo.sampling.hf_engine import LocalSampler
from sapo.sampling.http.replies import Reply
from sapo.sampling.http.server_engine import ServerSampler, request_body
from sapo.sampling.protocol import Request
from sapo.settings.configure import compose

pytestmark = pytest.mark.nightly

ROOT = Path(__file__).parents[2]
LLAMA = ROOT / "assets" / "models" / "llama_nano"
OVERRIDES = ["engine.kind=server", "engine.dialect=transformers", "engine.concurrency=1"]
ENGINE = compose(ROOT, ["profile=nano", *OVERRIDES])[1].engine


@contextmanager
def transformers_serve(log: Path) -> Iterator[str]:
    """A real server process on a free port, ended afterwards; needs `pip install "transformers[serving]"`."""
    for name in ("fastapi", "uvicorn", "openai"):
        pytest.importorskip(name)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("transformers")), "serve", "--port", str(port)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with log.open("w") as file, subprocess.Popen(command, stdout=file, stderr=file, env=environment) as process:
        try:
            _wait(f"http://127.0.0.1:{port}/health", process, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(240):
        assert process.poll() is None, log.read_text(encoding="utf-8")
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(log.read_text(encoding="utf-8"))


def test_a_real_server_draws_as_the_embedded_sampler_does(tmp_path: Path) -> None:
    """Greedy: token for token, cut where the answer ends. Sampled: the first token of 400 draws at temperature 4.

    With p of a token, 400 draws have it 400 p times, give or take five times sqrt(400 p (1 - p)).
    """
    questions = (ROOT / "assets" / "questions" / "nano_math_test.jsonl").read_text(encoding="utf-8").splitlines()[1:21]
    requests = [Request(json.loads(line)["prompt"], "", 1) for line in questions]
    model, encoder = load_reasoner(LLAMA)
    draws = [Request(requests[0].prompt, "", seed) for seed in range(400)]
    with transformers_serve(tmp_path / "log") as url:
        engine = dataclasses.replace(ENGINE, url=url)
        server = ServerSampler(LLAMA, engine, tmp_path)
        greedy, _ = server.complete(requests, 0.0, 48)
        cut, _ = server.complete(requests, 0.0, 48, first_line)
        sampled, _ = server.complete(draws, 4.0, 1)
        streamed = stream_of(server, requests[0])
    local, _ = LocalSampler(model, encoder, 32).complete(requests, 0.0, 48)
    shorter, _ = LocalSampler(model, encoder, 32).complete(requests, 0.0, 48, first_line)
    assert [c.text for c in cut] == [c.text for c in shorter]
    assert (streamed.text, streamed.completion_tokens) == (local[0].text, local[0].tokens)
    assert [c.text for c in greedy] == [c.text for c in local]
    assert [c.tokens for c in greedy] == [c.tokens for c in local]
    chances = first_chances(model, encoder, requests[0].prompt, 4.0)
    seen = Counter(c.text for c in sampled)
    assert len(seen) > 50
    for text, chance in chances.items():
        assert abs(seen[text] - 400 * chance) <= 5 * (400 * chance * (1 - chance)) ** 0.5 + 1, text


def first_line(text: str) -> int | None:
    return text.find("\n") + 1 or None


def stream_of(server: ServerSampler, request: Request) -> Reply:
    """A greedy completion, sent token by token. That server counts at the end only, so none of it is left out."""
    (ask,) = server.reader.asks([request], 48)
    body = request_body(ask, 0.0, "transformers", server.reader.encoder.eos_id) | {
        "model": server.model,
        "stream": True,
    }
    return server.endpoint.complete(body, threading.Event(), lambda text: True)


def first_chances(model: Any, encoder: Encoder, prompt: str, temperature: float) -> Counter[str]:
    """Probability of every text that the first token may be."""
    with torch.inference_mode():
        logits = model(torch.tensor([encoder.prompt_ids(prompt)])).logits[0, -1]
    found: Counter[str] = Counter()
    for token, chance in enumerate((logits / temperature).softmax(-1).tolist()):
        found[str(encoder.tokenizer.decode([token], skip_special_tokens=True))] += chance
    return found


def test_a_server_with_another_tokenizer_is_refused(tmp_path: Path) -> None:
    """`transformers serve` loads Qwen2's own tokenizer class for our word-like one, and counts other tokens."""
    qwen = LLAMA.with_name("qwen2_nano")
    with transformers_serve(tmp_path / "log") as url:
        engine = dataclasses.replace(ENGINE, url=url)
        with pytest.raises(BadInput, match=r"another model, or another tokenizer"):
            ServerSampler(qwen, engine, tmp_path).complete([Request("Ben has 5 coins.\n", "", 1)], 0.0, 8)
