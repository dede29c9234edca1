"""configure: a profile's settings in params.yaml, or one clear error and nothing written."""

import shutil
from pathlib import Path

import pytest

from sapo.settings import SettingsError, load_settings
from sapo.settings.configure import CONFIG, PARAMS, configure, known_profiles

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / CONFIG, tmp_path / CONFIG)
    (tmp_path / PARAMS).write_text("old\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("profile", known_profiles(ROOT))
def test_every_profile_composes_and_names_itself(project: Path, profile: str) -> None:
    assert configure(project, [f"profile={profile}"]).profile == profile
    assert (project / PARAMS).read_text(encoding="utf-8").startswith(f"profile: {profile}\n")


def test_a_key_on_the_command_line_beats_profile_and_config(project: Path) -> None:
    settings = configure(project, ["profile=smoke", "seed=7", "sft.epochs=9", "pairs.chosen=right"])
    assert (settings.seed, settings.sft.epochs, settings.pairs.chosen) == (7, 9, "right")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "params.yaml: profile is missing; say profile=X with one of: gemma2_2b, "),
        (["profile=none"], "code/conf/profile/none.yaml: no such file; profile 'none' is not one of: gemma2_2b, "),
        (["profile=nano", "profile=smoke"], "profile is given 2 times"),
        (["profile=nano", "sft.rate=1"], "code/conf/profile/nano.yaml with sft.rate=1: unknown setting 'sft.rate'"),
        (["profile=nano", "seed=x"], "code/conf/profile/nano.yaml with seed=x: seed: 'x' is str, expected int"),
        (["profile=nano", "seed=1,2"], "Ambiguous value"),
        (["profile=nano", "seed=["], "with seed=[: "),
        (["profile=nano", "seed=${none}"], "Interpolation key 'none' not found"),
        (["profile=nano", "+new=1"], "'+new=1' is not of the form key=value"),
        (["profile=nano", "hydra.verbose=1"], "'hydra.verbose=1' is not of the form key=value with a key of"),
        (["profile=../config"], "profile '../config' is not one of: gemma2_2b, "),
    ],
)
def test_bad_arguments_are_one_clear_line_and_change_nothing(project: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        configure(project, arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (project / PARAMS).read_text(encoding="utf-8") == "old\n"


def test_dvc_composes_nothing_by_itself() -> None:
    """With DVC's Hydra on, `dvc exp run` would compose the default profile (nightly: test_dvc.py)."""
    assert "hydra" not in (ROOT / ".dvc" / "config").read_text(encoding="utf-8")


def test_settings_under_another_profile_s_name_are_refused(project: Path) -> None:
    configure(project, ["profile=smoke"])
    path = project / PARAMS
    path.write_text(
        path.read_text(encoding="utf-8").replace("profile: smoke\n", "profile: nano\n", 1), encoding="utf-8"
    )
    with pytest.raises(
        SettingsError, match=r"profile is 'nano', but the settings are those of 'smoke'; .*profile=nano"
    ):
        load_settings(path)


def test_outside_a_project_it_says_where_to_go(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="run this in the repository's root"):
        configure(tmp_path, ["profile=nano"])
