"""Reading recorded numbers of the papers' own code, and comparing with them."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

RTOL = {"f64": 1e-9, "f32": 1e-5}


class Golden:
    """One recorded file: `z[name]`, `z.tree(prefix)`, and reference values of one precision."""

    def __init__(self, path: Path, precision: str = "f64") -> None:
        with np.load(path) as file:
            self.data = dict(file)
        self.precision = precision
        self.dtype = {"f64": np.float64, "f32": np.float32}[precision]

    def __getitem__(self, name: str) -> np.ndarray:
        """An input in the precision of the run; integers and strings as they are."""
        value = self.data[name]
        return value.astype(self.dtype) if value.dtype.kind == "f" else value

    def config(self, name: str) -> Any:
        return self.data[f"cfg/{name}"].tolist()

    def names(self, prefix: str) -> list[str]:
        """Names below `prefix`, in the file's order."""
        return [name[len(prefix) :] for name in self.data if name.startswith(prefix)]

    def check(self, name: str, mine: Any, atol: float = 1e-7, where: Any = True) -> None:
        """`mine` equals the recorded value, relative to the largest entry `where` it counts."""
        reference = self.data[f"{self.precision}/{name}"]
        mine = np.asarray(mine, np.float64)
        assert mine.shape == reference.shape, f"{name}: {mine.shape} is not {reference.shape}"
        apart = np.abs((mine - reference) * where).max(initial=0)
        allowed = RTOL[self.precision] * np.abs(reference * where).max(initial=0)
        allowed += atol if self.precision == "f32" else 1e-12
        assert apart <= allowed, f"{name}: {apart:.3g} apart, {allowed:.3g} allowed"

    def told_from_zero(self, gradient: str) -> Any:
        """Where this precision knows a gradient well: Adam's first step is nearly signs alone."""
        if self.precision == "f64":
            return True
        exact = np.abs(self.data[f"f64/{gradient}"])
        return (exact > 1e-3 * exact.max(initial=0)) | (exact == 0)


def cases(files: Sequence[str], make: Callable[[Golden], Any]) -> tuple[Any, Any]:
    """Fixtures: what `make` makes of each file in each precision, and that precision in tests."""

    @pytest.fixture(
        scope="module", params=[(f, p) for f in files for p in ("f64", "f32")], ids="-".join
    )
    def case(request: pytest.FixtureRequest, data_dir: Path) -> Any:
        name, precision = request.param
        with jax.enable_x64(precision == "f64"):
            return make(Golden(data_dir / "golden" / f"{name}.npz", precision))

    @pytest.fixture(autouse=True)
    def in_its_precision(case: Any) -> Iterator[None]:
        """Around each test alone: contexts that overlap would not close in turn."""
        with jax.enable_x64(case.z.precision == "f64"):
            yield

    return case, in_its_precision


def put(value: np.ndarray, at: np.ndarray, size: int) -> np.ndarray:
    """Rows of `value` at `at` among `size` zero rows."""
    out = np.zeros((size, *value.shape[1:]), value.dtype)
    out[at] = value
    return out


def stacked(rows: Sequence[np.ndarray], width: int) -> jax.Array:
    """Agents' arrays [N, size_i] as one [N, A, width], padded with zeros."""
    return jnp.stack([np.pad(row, ((0, 0), (0, width - row.shape[1]))) for row in rows], 1)
