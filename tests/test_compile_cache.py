"""Where compiled programs are kept, and when they are not."""

from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

from jmarl.cli import command
from jmarl.fields import ConfigError
from jmarl.versions import keep_compiled

SETTINGS = (
    "jax_enable_compilation_cache",
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_enable_xla_caches",
)


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    before = {name: jax.config.values[name] for name in SETTINGS}
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_programs_are_kept_in_the_users_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert keep_compiled() == str(tmp_path / "jmarl" / "xla")
    assert jax.config.values["jax_enable_compilation_cache"]
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "other"))
    assert keep_compiled() == str(tmp_path / "other") and (tmp_path / "other").is_dir()


def test_what_cannot_be_written_is_not_used(tmp_path: Path) -> None:
    """On a GPU XLA would end the run there."""
    (tmp_path / "file").write_text("")
    place = keep_compiled(str(tmp_path / "file" / "cache"))
    assert place.startswith("off (") and "cannot be written: Not a directory" in place
    assert not jax.config.values["jax_enable_compilation_cache"]


@pytest.mark.parametrize("variable", ["JAX_ENABLE_COMPILATION_CACHE", "HOME"])
def test_a_cache_that_was_turned_off_stays_off(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if variable == "HOME":  # as in a container whose user has none
        monkeypatch.setattr("os.path.expanduser", lambda path: path)
    else:
        monkeypatch.setenv(variable, "false")
    assert keep_compiled() == "off"
    assert not jax.config.values["jax_enable_compilation_cache"]


def test_a_bucket_holds_no_caches_of_xla() -> None:
    assert keep_compiled("gs://bucket/cache") == "gs://bucket/cache"
    assert jax.config.values["jax_persistent_cache_enable_xla_caches"] == "none"


@pytest.mark.parametrize(
    ("words", "module"),
    [
        ("train maddpg", "training"),
        ("eval qmix/smax-3m", "teams"),
        ("eval some/run --record", "absolute"),
        ("sweep experiments/sweeps/qmix.yaml", "sweep"),
    ],
)
def test_commands_that_compile_ask_where(
    monkeypatch: pytest.MonkeyPatch, words: str, module: str
) -> None:
    def asked(folder: str = "auto") -> str:
        raise ConfigError(f"asked for {folder}")

    monkeypatch.setattr(f"jmarl.{module}.keep_compiled", asked)
    monkeypatch.chdir(Path(__file__).parents[1])
    with pytest.raises(ConfigError, match="asked for off"):
        command([*words.split(), "--compile-cache", "off"])
