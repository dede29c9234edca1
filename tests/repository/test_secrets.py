"""No secret of the environment in what is written or said, and no text of others where it would be run."""

import ast
import html.parser
import logging
import os
import sys
from pathlib import Path

import pytest
from fake_endpoint import Response, completion, failure, serve

from sapo.cli.main import main as command
from sapo.evaluate.process.items import ProcessItem, write_items
from sapo.records import write_plain_json, write_text
from sapo.report.environment import here
from sapo.report.tables.exports import page
from sapo.report.tables.method_tables import Table
from sapo.runtime.cache import cached
from sapo.runtime.workspace import StageArguments, Workspace, timed

CODE = Path(__file__).parents[2] / "code"
SECRETS = {
    "OPENAI_API_KEY": "sk-canary/4711+openai",
    "HF_TOKEN": "hf_canary4711hub",
    "WANDB_API_KEY": "canary4711wandb",
    "AWS_SECRET_ACCESS_KEY": "canary/4711+aws",
}
CANARY = b"canary"
HOSTILE = "</td></table><script>alert(1)</script><img src=x onerror=alert(2)> $(touch x) `touch x` ; touch x"


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)


def leaked(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and CANARY in path.read_bytes() + path.name.encode()]


def items(count: int) -> Path:
    made = [
        ProcessItem(f"q{n}/small/0", f"q{n}", f"q{n}", f"Problem {n}.\n", ("a\n", "b\n"), 2, "wrong", "oracle", (), "s")
        for n in range(count)
    ]
    write_items(Path("items.jsonl"), made)
    return Path("items.jsonl")


KEY = SECRETS["OPENAI_API_KEY"]
ANSWERS = [
    completion(f"{KEY} {HOSTILE}\nfirst error: 2"),
    failure(400, f"bad request of {KEY}"),
    failure(401, f"no such key: {KEY}"),
    failure(500, f"trace: Bearer {KEY}"),
    failure(429, KEY, Retry_After="100000"),
    Response(f"no JSON: {KEY}".encode()),
    Response(cuts=True),
    failure(302, KEY, Location=f"http://127.0.0.1:9/{KEY.replace('/', '')}"),
]


@pytest.mark.parametrize("answer", ANSWERS, ids=range(len(ANSWERS)))
def test_the_key_is_sent_and_stands_nowhere_else(
    answer: Response, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """The endpoint sends the key back in every way that it can; logs are at their most talkative."""
    caplog.set_level(logging.DEBUG)
    with serve(lambda body, number: answer) as server:
        options = ["--model", "judge", "--per-minute", "60000", "--attempts", "1", "--votes", "1", "--agree", "1"]
        status = command(["annotate", str(items(2)), "--endpoint", server.url, "--out", "out.jsonl", *options])
    assert server.headers and {own["Authorization"] for own in server.headers} == {f"Bearer {KEY}"}
    said = capfd.readouterr()
    assert status in (0, 2) and (said.out or said.err)
    assert status == 0 or (said.err.startswith("error: ") and said.err.count("\n") == 1)
    assert "canary" not in said.out + said.err + caplog.text
    assert Path("out.answers.jsonl").is_file() or status == 2
    assert leaked(tmp_path) == []
    assert not Path("x").exists()


def test_manifests_timings_and_the_environment_of_a_report_name_no_variable(tmp_path: Path) -> None:
    made = cached(tmp_path / "store", StageArguments("a"), lambda folder: write_text(folder / "made", "1"))
    assert (made / "made_from.json").is_file()
    workspace = Workspace(tmp_path, "nano")
    with timed(workspace, "start", StageArguments("m", "t")):
        pass
    write_plain_json(tmp_path / "environment.json", here("cpu", "hf"))
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) >= 4
    assert leaked(tmp_path) == []


def test_a_crash_of_a_command_shows_no_secret(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug keeps its trace, which has no values of variables in it."""
    monkeypatch.setattr("sapo.sampling.http.endpoint.parse_reply", lambda *given: 1 / 0)
    with serve(lambda body, number: completion("first error: 2")) as server:
        arguments = ["annotate", str(items(1)), "--endpoint", server.url, "--out", "o.jsonl", "--model", "j"]
        with pytest.raises(ZeroDivisionError) as caught:
            command(arguments)
    sys.excepthook(caught.type, caught.value, caught.tb)
    said = capfd.readouterr()
    assert "ZeroDivisionError" in said.err and "canary" not in said.out + said.err


def test_hostile_cells_are_text_in_the_page_of_tables() -> None:
    tags: list[str] = []

    class Tags(html.parser.HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append(tag)

    Tags().feed(page(HOSTILE, [Table(HOSTILE, (HOSTILE,), ((HOSTILE,),), HOSTILE)]))
    assert tags.count("table") == tags.count("figure") == 1
    assert not {"script", "img"} & {*tags}


# Ways to run a text, and who may: the inside of the sandbox, and the laboratory on expressions of its own.
RUNNERS = {"eval", "exec", "os.system", "os.popen", "pickle.load", "pickle.loads", "torch.load", "yaml.load"}
RUNNERS |= {"marshal.loads", "subprocess.getoutput", "subprocess.getstatusoutput", "os.execvp", "joblib.load"}
ALLOWED = {
    ("sapo/tasks/nano/nano_code_world.py", "eval"),
    ("strict_sandbox/inside/candidate.py", "exec"),
    ("strict_sandbox/inside/judge.py", "exec"),
}


def test_nothing_runs_a_text_and_no_command_goes_through_a_shell() -> None:
    found = set()
    for path in CODE.rglob("*.py"):
        name = path.relative_to(CODE).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in RUNNERS:
                found.add((name, ast.unparse(node.func)))
            elif isinstance(node, ast.keyword) and node.arg in ("shell", "trust_remote_code"):
                assert ast.unparse(node.value) == "False", f"{name}: {node.arg}={ast.unparse(node.value)}"
            elif isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                assert not {"pickle", "marshal", "shelve", "dill"} & {*names}, f"{name}: line {node.lineno}"
    assert found == ALLOWED


def test_the_secrets_of_this_test_are_there() -> None:
    """Else the tests above would prove nothing."""
    assert all(CANARY.decode() in os.environ[name] for name in SECRETS)
