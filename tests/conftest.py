"""What all tests share: one compilation cache on disk, the recorded data, a key."""

import gc
import os
from importlib.metadata import version
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).parents[1]

# Tests share two cores and simulate several devices. Empty lets jax choose (benchmarks/gpu.sh).
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most of a test's time is compilation. Set before jax is imported, and inherited by subprocesses.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
# A program of a few steps gains nothing from being optimised, and compiles for thrice as long.
# `make test-slow` leaves it so that programs are as users have them.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "true")

if (
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] == "true"
    and version("jaxlib").startswith("0.10.")  # another might not know the flag, and would abort
):
    # The older way to emit fusions compiles in half the time.
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_use_fusion_emitters=false"
    os.environ["XLA_FLAGS"] = flags.strip()

import jax  # noqa: E402

# Tracing makes many small objects and hardly a cycle: looking for cycles as often as Python does
# by itself took a fourteenth of the time.
gc.set_threshold(100_000, 20, 50)

# Compiling takes longer than hypothesis allows an example, and a failure must come again.
hypothesis.settings.register_profile("jmarl", deadline=None, derandomize=True)
hypothesis.settings.load_profile("jmarl")


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Compiled programs go with the file that they served, or the whole run holds gigabytes."""
    if nextitem is None or nextitem.path != item.path:
        jax.clear_caches()
        gc.collect()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Holds golden/ and traces/; $JMARL_TEST_DATA points elsewhere."""
    return Path(os.environ.get("JMARL_TEST_DATA", ROOT / "tests" / "data"))


@pytest.fixture
def key() -> jax.Array:
    return jax.random.key(0)
