"""`python -m sapo configure profile=X [key=value …]`: code/conf, composed by Hydra, becomes params.yaml.

This is the only way to choose a profile. DVC's own use of Hydra is off (.dvc/config): it would compose params.yaml
anew from the defaults at every `dvc exp run`. Nothing is written unless the result is a valid set of settings.
"""

import re
import tempfile
from pathlib import Path

from sapo.records import write_text
from sapo.settings import Settings, SettingsError, load_settings

CONFIG = Path("code/conf")
PARAMS = Path("params.yaml")


def known_profiles(root: Path) -> list[str]:
    return sorted(path.stem for path in (root / CONFIG / "profile").glob("*.yaml"))


def configure(root: Path, arguments: list[str]) -> Settings:
    """Compose the settings that `arguments` ask for into `root`/params.yaml.

    Raises:
        SettingsError: no or an unknown profile, an unknown parameter, a wrong type or value; params.yaml is untouched.
    """
    text, settings = compose(root, arguments)
    write_text(root / PARAMS, text)
    return settings


def compose(root: Path, arguments: list[str]) -> tuple[str, Settings]:
    """The text of params.yaml for `arguments` (`profile=nano`, `seed=2`, `sft.epochs=5`), and what it says."""
    known = ", ".join(known_profiles(root))
    if not known:
        raise SettingsError(f"{root / CONFIG / 'profile'}: holds no profile; run this in the repository's root")
    values = [_split(argument) for argument in arguments]
    profiles = [value for key, value in values if key == "profile"]
    if len(profiles) != 1:
        given = f"given {len(profiles)} times" if profiles else "missing"
        raise SettingsError(f"{PARAMS}: profile is {given}; say profile=X with one of: {known}")
    source = CONFIG / "profile" / f"{profiles[0]}.yaml"
    if profiles[0] not in known_profiles(root):
        raise SettingsError(f"{source}: no such file; profile {profiles[0]!r} is not one of: {known}")
    overrides = [f"{key}={value}" for key, value in values if key != "profile"]
    where = f"{source} with {' '.join(overrides)}" if overrides else str(source)
    with tempfile.TemporaryDirectory() as folder:
        params = Path(folder) / "params.yaml"
        _compose_and_dump(params, root, arguments, where)
        return params.read_text(encoding="utf-8"), load_settings(params, where)


def _split(argument: str) -> tuple[str, str]:
    match = re.fullmatch(r"([A-Za-z_][\w.]*)=(.*)", argument, re.DOTALL)
    if match is None or match[1].split(".")[0] == "hydra":
        raise SettingsError(f"{PARAMS}: {argument!r} is not of the form key=value with a key of {CONFIG}/config.yaml")
    return match[1], match[2]


def _compose_and_dump(params: Path, root: Path, overrides: list[str], where: str) -> None:
    from dvc.utils.hydra import compose_and_dump
    from hydra.errors import HydraException
    from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

    try:
        compose_and_dump(params, str((root / CONFIG).resolve()), None, "config", str(root), overrides)
    except (HydraException, OmegaConfBaseException) as error:
        cause = error.__cause__ or error
        if isinstance(cause, ConfigAttributeError | ConfigKeyError):
            raise SettingsError(f"{where}: unknown setting {cause.full_key!r}") from error
        raise SettingsError(f"{where}: {' '.join(str(cause).split())}") from error
