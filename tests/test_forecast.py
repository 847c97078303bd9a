"""Memory is told before it is taken: exactly for what stays, with a refusal for what cannot be."""

from pathlib import Path
from typing import Any

import jax
import pytest
from probes import Zoo, algorithms

import jmarl
from jmarl import forecast
from jmarl.algorithms import ALL
from jmarl.config import Experiment, experiment
from jmarl.forecast import Needs, host_free, largest, needs, readable
from jmarl.making import env_of
from jmarl.program import Program

MANY = {"total_steps": 10**9, "num_envs": 8, "seeds": 3, "eval_episodes": 5}


GREEDY: dict[str, Any] = {  # little to keep, much to work with
    "num_envs": 4,
    "total_steps": 1000,
    "evaluations": 1,
    "warmup_steps": 100,
    "buffer_size": 400,
    "batch_size": 5000,
    "hidden_dim": (8, 8),
}


def zoo_program(name: str) -> Program:
    kind = ALL[name].action_kinds(ALL[name].config)[0]
    sizes = {"buffer_size": 500} if hasattr(ALL[name].config, "buffer_size") else {}
    return Program(Zoo(kind=kind), experiment(name, settings={**MANY, **sizes}))


def held(tree: Any) -> int:
    """Bytes of real arrays."""
    keys = jax.dtypes.prng_key
    is_key = lambda x: jax.numpy.issubdtype(x.dtype, keys)
    leaves = [jax.random.key_data(x) if is_key(x) else x for x in jax.tree.leaves(tree)]
    return sum(x.nbytes for x in leaves)


@pytest.mark.parametrize("name", algorithms())
def test_what_stays_is_foreseen_to_the_byte(name: str) -> None:
    program = zoo_program(name)
    run, rollout = jax.jit(program._open)(program.keys[0], program.experiment.config)
    found = needs(program)
    assert (found.replay, found.learner) == (held(run.memory), 2 * held(run.learner))
    assert found.actors == held((run.actors, run.key))
    assert found.working == max(held(rollout), found.actors * 5 // 8) > 0
    started = jax.tree.map(lambda x: (x.shape, x.dtype), program.state)
    assert started == jax.tree.map(lambda x: (x.shape, x.dtype), run)


def test_nothing_is_allocated_to_foresee() -> None:
    before = len(jax.live_arrays())
    needs(zoo_program("maddpg"))
    assert len(jax.live_arrays()) == before


def asked(name: str, **settings: Any) -> Experiment:
    return experiment(name, settings={"env": "toy/cue", "total_steps": 10**14, **settings})


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        ("maddpg", "num_envs", 10**6),
        ("maddpg", "seeds", 10**9),
        ("maddpg", "seeds", 50),  # a smaller replay would do too, but is as usual
        ("maddpg", "buffer_size", 2 * 10**9),
        ("maddpg", "eval_episodes", 2 * 10**9),
        ("qmix", "num_envs", 10**6),
        ("qmix", "buffer_size", 10**9),
    ],
)
def test_the_value_named_fits_and_the_next_does_not(
    name: str, setting: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 100 * 2**20
    monkeypatch.setattr(forecast, "free_bytes", lambda: free)
    team = {"team_reward": "sum"} if name == "qmix" else {}
    program = lambda value: Program(env, asked(name, **team, **{setting: value}))
    env = env_of(asked(name, **team))
    with pytest.raises(jmarl.ConfigError, match=f"^{setting} must be at most ") as told:
        forecast.foreseen(program(value))
    assert f"(100 MiB free), got {value:,} (which needs " in str(told.value)
    most = int(str(told.value).split()[5].replace(",", ""))
    assert needs(program(most)).total <= free < needs(program(most + 1)).total
    forecast.foreseen(program(most))


def test_where_no_setting_helps_the_parts_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = asked("maddpg", hidden_dim=(10**5, 10**5))
    program = Program(env_of(plan), plan)
    monkeypatch.setattr(forecast, "free_bytes", lambda: 2**30)
    with pytest.raises(jmarl.ConfigError, match=r"^memory must hold .*learner .*, got 1 GiB free"):
        forecast.foreseen(program)


def test_working_space_is_known_once_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = asked("maddpg", **GREEDY)
    program = Program(env_of(plan), plan)
    _ = program.start, program.advance, program.evaluate
    state, chunk = needs(program).state, program.temporaries["chunk"]
    assert chunk == max(program.temporaries.values()) > needs(program).working
    for allocated, need in ((False, state + chunk), (True, chunk)):
        monkeypatch.setattr(forecast, "free_bytes", lambda need=need: need)
        forecast.require_working_space(program, allocated)
        monkeypatch.setattr(forecast, "free_bytes", lambda need=need: need - 1)
        with pytest.raises(jmarl.ConfigError, match=r"working space to chunk .*fewer seeds"):
            forecast.require_working_space(program, allocated)


@pytest.mark.parametrize("words", [{"num_envs": 5 * 10**7}, {"seeds": 10**9}])
def test_a_refused_run_leaves_nothing(
    words: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Program, "try_shapes", lambda self: pytest.fail("went on"))
    plan: dict[str, Any] = {"total_steps": 10**14, **words}
    with pytest.raises(jmarl.ConfigError, match=f"^{next(iter(words))} must be at most"):
        jmarl.train("maddpg", "toy/cue", out=tmp_path / "run", **plan)
    assert not list(tmp_path.iterdir())


def test_a_run_without_working_space_allocates_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = asked("maddpg", **GREEDY)
    state = needs(Program(env_of(plan), plan)).total
    compiled = Program.compiled

    def only_compiled(*args: Any, **options: Any) -> Any:
        compiled(*args, **options)
        return lambda *args: pytest.fail("was run")

    monkeypatch.setattr(Program, "compiled", only_compiled)
    monkeypatch.setattr(Program, "random_return", lambda self: {})
    monkeypatch.setattr(forecast, "free_bytes", lambda: state)
    with pytest.raises(jmarl.ConfigError, match="working space to chunk"):
        jmarl.train("maddpg", "toy/cue", out=tmp_path / "run", progress=False, **GREEDY)
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_that_may_find_no_room_is_cautioned_against(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = Needs(replay=6 * 2**30, learner=2**20, actors=2**10, working=2**30)
    monkeypatch.setattr(forecast, "host_free", lambda: 14 * 2**30)
    told = forecast.in_words(found)
    assert told == (
        "memory: replay 6 GiB, learner 1 MiB, actors 1 KiB, working space 1 GiB or more; "
        "14 GiB free"
    )
    monkeypatch.setattr(forecast, "host_free", lambda: 12 * 2**30)
    assert "caution: writing a checkpoint may take up to 6 GiB" in forecast.in_words(found)


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 B"), (1536, "1.5 KiB"), (1023 * 2**20, "0.999 GiB"), (34 * 2**40, "34 TiB")],
)
def test_sizes_are_readable(size: int, words: str) -> None:
    assert readable(size) == words


@pytest.mark.parametrize("free", [99, 100, 12_345, 777_777])
def test_the_largest_is_found_whatever_the_growth(free: int) -> None:
    for size in (
        lambda x: 100 * x,
        lambda x: 40 + 60 * x,
        lambda x: -(-x // 1000) * 1000,
        lambda x: x**2,
    ):
        most = largest(size, 10**6, free)
        assert (most == 0 and size(1) > free) or size(most) <= free < size(most + 1)


def test_a_value_too_small_to_be_is_not_offered() -> None:
    assert largest(lambda x: 0 if x < 500 else 10**9, 1000, 10) == 0


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize("version", [1, 2])
def test_a_container_has_what_its_groups_leave(version: int, tmp_path: Path) -> None:
    folder, limit, usage = forecast.CGROUPS["" if version == 2 else "memory"]
    top = tmp_path / "sys/fs/cgroup" / folder
    write(tmp_path / "proc/meminfo", "MemTotal: 9000 kB\nMemAvailable:    8000 kB\n")
    assert host_free(tmp_path) == 8000 * 1024
    write(tmp_path / "proc/self/cgroup", f"{4 * (version == 1)}:{folder}:/outer/inner\n")
    assert host_free(tmp_path) == 8000 * 1024, "the groups are not mounted"
    write(top / "outer/inner" / limit, "max\n")
    write(top / "outer/inner" / usage, "4096\n")
    write(top / "outer" / limit, "5000000\n")
    write(top / "outer" / usage, "4000000\n")
    assert host_free(tmp_path) == 1_000_000
    write(top / "outer/memory.stat", "anon 7\nactive_file 20000\ninactive_file 1000\n")
    assert host_free(tmp_path) == 1_021_000
    write(top / "outer" / usage, "9000000\n")
    assert host_free(tmp_path) == 0


def test_a_system_that_tells_nothing_has_all_its_memory(tmp_path: Path) -> None:
    assert host_free(tmp_path) > 2**28
