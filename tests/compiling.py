"""How tests compile what is compared number by number."""

from importlib.metadata import version

# These programs compile far longer than they run. Fusions are emitted as users' are, whatever
# conftest.py chose, as the older way rounds otherwise.
HASTE: dict[str, int | bool] = {"xla_backend_optimization_level": 0}
if version("jaxlib").startswith("0.10."):
    HASTE["xla_cpu_use_fusion_emitters"] = True
