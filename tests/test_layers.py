"""Imports point down, the core is pure, and no file carries a trace of the machine it was made on.

A rule reads one file and yields what it objects to; each is tried on sources that break it.
"""

import ast
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = (  # from the ground up; a file may import its own layer and those below
    {"types", "sums"},
    {
        "rollout",
        "memory",
        "grouped",
        "stripes",
        "targets",
        "exploration",
        "optim",
        "networks",
        "fields",
        "actions",
    },
    {"algorithms", "loop"},
)
HOST = len(LAYERS)  # everything else in jmarl/ but
# which lie above and join jmarl to jmarl_envs
FACES = {
    *("making", "training", "teams", "rendering", "absolute", "contest", "exporting", "insight"),
    *("overlay", "standings", "pictures", "report", "sweep", "__main__", "__init__"),
    *("cli", "cli_files", "cli_lists", "cli_play", "cli_sweep"),
}
SUITES = {"jmarl_envs", "jaxmarl", "jumanji"}
EDGES = {  # the one module or package that may import each of these
    "wandb": "jmarl/follower.py",
    "orbax": "jmarl/checkpoint.py",
    "matplotlib": "jmarl/plots/",
    "PIL": "envs/jmarl_envs/raster.py",
    "av": "envs/jmarl_envs/video.py",
    "safetensors": "jmarl/weights.py",
}
SIDE_EFFECTS = {"print", "debug.print", "breakpoint"}
CALLBACKS = {"debug.callback", "io_callback", "pure_callback"}
HOSTS = re.compile(r"\b(pypi|pythonhosted|npmjs|crates)\.(org|com|io)\b")
MACHINE_PATHS = re.compile(r"(?<![\w.~/-])/(work|root|home|Users)/\w")

Rule = Callable[[str, ast.Module], Iterator[str]]


def imports(path: str, tree: ast.Module) -> set[str]:
    """Full dotted names: `from a import b` is a.b, and relative imports are resolved."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            folders = path.removeprefix("envs/").split("/")
            package = folders[: -node.level] if node.level else []
            source = ".".join([*package, node.module or ""]).strip(".")
            names |= {f"{source}.{alias.name}" for alias in node.names}
    return names


def within(name: str, modules: set[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def layer(room: str) -> int:
    """Height of jmarl/<room>.py or jmarl/<room>/."""
    if room in FACES:
        return HOST + 1
    return next((i for i, rooms in enumerate(LAYERS) if room in rooms), HOST)


def layer_of_file(path: str) -> int:
    return layer(path.split("/")[1].removesuffix(".py"))


def points_down(path: str, tree: ast.Module) -> Iterator[str]:
    if path.startswith("jmarl/"):
        for name in imports(path, tree):
            room = [*name.split("."), "__init__"][1]
            if within(name, {"jmarl"}) and layer(room) > layer_of_file(path):
                yield f"imports {name}, which stands on a higher floor"


def core_knows_no_suite(path: str, tree: ast.Module) -> Iterator[str]:
    if path.startswith("jmarl/") and layer_of_file(path) <= HOST:
        yield from (f"imports {name}" for name in imports(path, tree) if within(name, SUITES))


def envs_know_only_types(path: str, tree: ast.Module) -> Iterator[str]:
    if path.startswith("envs/"):
        for name in imports(path, tree):
            if within(name, {"jmarl"}) and not within(name, {"jmarl.types"}):
                yield f"imports {name}: environments see nothing of jmarl but its types"


def foreign_at_the_edge(path: str, tree: ast.Module) -> Iterator[str]:
    if path.startswith(("jmarl/", "envs/")):
        for name in imports(path, tree):
            edge = EDGES.get(name.split(".")[0], path)
            if not path.startswith(edge):
                yield f"imports {name}, which only {edge} may"


def linen_where_networks_are_built(path: str, tree: ast.Module) -> Iterator[str]:
    """In networks/, and in an algorithm's own file, which holds its paper's mixer."""
    built = ("jmarl/networks/", "jmarl/algorithms/")
    if path.startswith(("jmarl/", "envs/")) and not path.startswith(built):
        for name in imports(path, tree):
            if name == "flax" or within(name, {"flax.linen", "flax.nnx"}):
                yield f"imports {name}: modules are built elsewhere, take flax.struct by name"


def pure(path: str, tree: ast.Module) -> Iterator[str]:
    """No callbacks in either package, and in the core no printing: metrics are returned."""
    if not path.startswith(("jmarl/", "envs/")):
        return
    core = path.startswith("jmarl/") and layer_of_file(path) < HOST
    banned = CALLBACKS | (SIDE_EFFECTS if core else set())
    used = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for name in sorted(used | imports(path, tree)):
        if any(f".{name}".endswith(f".{ban}") for ban in banned):
            yield f"uses {name}"


def no_bare_envs(path: str, tree: ast.Module) -> Iterator[str]:
    """In a checkout `envs.jmarl_envs` would load a second copy of every class."""
    yield from (f"imports {name}" for name in imports(path, tree) if within(name, {"envs"}))


RULES: tuple[Rule, ...] = (
    points_down,
    core_knows_no_suite,
    envs_know_only_types,
    foreign_at_the_edge,
    linen_where_networks_are_built,
    pure,
    no_bare_envs,
)
BREACHES = [
    (points_down, "jmarl/types.py", "from jmarl import targets"),
    (points_down, "jmarl/memory.py", "import jmarl.train as train"),
    (points_down, "jmarl/networks/agents.py", "from ..algorithms.qmix import Qmix"),
    (points_down, "jmarl/loop.py", "def f():\n    from jmarl.fit import fit"),
    (points_down, "jmarl/loop.py", "from . import report"),
    (points_down, "jmarl/fit.py", "import jmarl.cli"),
    (points_down, "jmarl/optim.py", "import jmarl"),
    (core_knows_no_suite, "jmarl/rollout.py", "import jaxmarl"),
    (core_knows_no_suite, "jmarl/config.py", "from jmarl_envs.registry import make"),
    (core_knows_no_suite, "jmarl/algorithms/qmix.py", "import jumanji.env"),
    (envs_know_only_types, "envs/jmarl_envs/smax.py", "from jmarl.rollout import rollout"),
    (envs_know_only_types, "envs/jmarl_envs/smax.py", "from jmarl import Step"),
    (foreign_at_the_edge, "jmarl/fit.py", "def f():\n    import wandb"),
    (foreign_at_the_edge, "jmarl/fit.py", "import orbax.checkpoint as ocp"),
    (foreign_at_the_edge, "envs/jmarl_envs/drawing.py", "import matplotlib.pyplot as plt"),
    (linen_where_networks_are_built, "jmarl/loop.py", "from flax import linen as nn"),
    (linen_where_networks_are_built, "envs/jmarl_envs/toys.py", "from flax.linen import Dense"),
    (linen_where_networks_are_built, "jmarl/loop.py", "import flax"),
    (pure, "jmarl/loop.py", "print(1)"),
    (pure, "jmarl/algorithms/qmix.py", "jax.debug.print('{}', x)"),
    (pure, "jmarl/fit.py", "jax.debug.callback(log, metrics)"),
    (pure, "jmarl/targets.py", "from jax.experimental import io_callback"),
    (pure, "envs/jmarl_envs/toys.py", "jax.pure_callback(f, x)"),
    (no_bare_envs, "tests/test_toys.py", "from envs.jmarl_envs import toys"),
    (no_bare_envs, "experiments/study/run.py", "import envs"),
]
LAWFUL = [
    ("jmarl/types.py", "from flax import struct"),
    ("jmarl/memory.py", "from jmarl.types import Step\nfrom jmarl.targets import one_step"),
    ("jmarl/networks/agents.py", "from flax import linen as nn\nfrom .base import Net"),
    ("jmarl/algorithms/qmix.py", "from jmarl.algorithms import value_decomposition"),
    ("jmarl/fit.py", "from jmarl import sinks, train\nprint('epoch')"),
    ("jmarl/follower.py", "import wandb"),
    ("jmarl/plots/comparison.py", "from matplotlib.figure import Figure"),
    ("jmarl/cli.py", "import jmarl\nimport jmarl_envs\nfrom jmarl import fit\nprint(1)"),
    ("jmarl/__init__.py", "from jmarl.cli import main\nfrom jmarl.loop import train"),
    ("envs/jmarl_envs/smax.py", "import jaxmarl\nfrom jmarl.types import View\nblueprint(1)"),
    ("envs/jmarl_envs/toys.py", "from .registry import SUITES"),
    ("benchmarks/throughput.py", "import matplotlib.pyplot as plt\nprint(1)"),
]


def tracked() -> list[str]:
    """Files under version control that the working tree still holds."""
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return [name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


def complaints(rule: Rule, path: str, source: str) -> list[str]:
    return [f"{path} {what}" for what in rule(path, ast.parse(source))]


def traces_of_a_machine(path: str, text: str) -> list[str]:
    """Package-index hosts and absolute paths, which mean nothing on the next machine."""
    return [
        f"{path}:{number} says {found.group()!r}"
        for number, line in enumerate(text.splitlines(), 1)
        for pattern in (HOSTS, MACHINE_PATHS)
        if (found := pattern.search(line))
    ]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_repository_keeps_the_rule(rule: Rule) -> None:
    sources = {path: (ROOT / path).read_text() for path in tracked() if path.endswith(".py")}
    assert not [what for path, text in sources.items() for what in complaints(rule, path, text)]


@pytest.mark.parametrize(("rule", "path", "source"), BREACHES)
def test_a_breach_is_found(rule: Rule, path: str, source: str) -> None:
    assert complaints(rule, path, source)


@pytest.mark.parametrize(("path", "source"), LAWFUL)
def test_lawful_code_passes_every_rule(path: str, source: str) -> None:
    assert not [what for rule in RULES for what in complaints(rule, path, source)]


def test_every_rule_is_tried() -> None:
    assert {rule for rule, _, _ in BREACHES} == set(RULES)


def test_only_the_two_packages_are_packages() -> None:
    inits = [path for path in tracked() if path.endswith("__init__.py")]
    assert not [path for path in inits if not path.startswith(("jmarl/", "envs/jmarl_envs/"))]


def test_no_file_names_a_package_index_or_a_path_of_a_machine() -> None:
    found = []
    for path in tracked():
        data = (ROOT / path).read_bytes()
        if b"\0" not in data:
            found += traces_of_a_machine(path, data.decode())
    assert not found


@pytest.mark.parametrize("text", ["see https://pypi" + ".org/simple", "open('/work" + "/main/x')"])
def test_traces_of_a_machine_are_found(text: str) -> None:
    assert traces_of_a_machine("README.md", text)


@pytest.mark.parametrize("text", ["src/work/main", "~/home/me", "https://example.org/home/x", "/"])
def test_other_paths_are_no_traces(text: str) -> None:
    assert not traces_of_a_machine("README.md", text)
