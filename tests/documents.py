"""What README and docs/*.md say in code, block by block, and how tests shorten it.

A block is fenced, in a language of LANGUAGES, and run; one with a `title="FILE"` is a file, which
other blocks then use. Each document has a folder, which holds the files of the checkout that it
names, and one Python session.

To add a block: write it. If it trains for long, say in SHORTER what stands there in a test; if it
takes long even so, put its first command into SLOW: it then runs in `make test-slow` alone. Words
of MADE (RUN, FOLDER, ...) stand for what the commands there make; blocks that use them are slow
too. What another test runs, because it needs a server or a network, is named in ELSEWHERE.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
LANGUAGES = ("bash", "python", "yaml", "toml")
LONGEST = 20_000  # environment steps of a training that no row of SHORTER has shortened

TINY = "--num-envs 4 --evaluations 1 --eval-episodes 4 --checkpoint-minutes 0"
NARROW = "--hidden-dim 8 --rnn-dim 8"
Q = f"{TINY} {NARROW} --total-steps 900 --batch-size 4 --buffer-size 40 --warmup-episodes 4"
ATTENTIVE = Q.replace("--hidden-dim 8 ", "")
PI = f"{TINY} {NARROW} --total-steps 900"
DPG = (
    f"{TINY} --hidden-dim 8,8 --total-steps 1200 --batch-size 16 --buffer-size 400 "
    "--warmup-steps 100"
)
DEVICES = "XLA_FLAGS=--xla_force_host_platform_device_count=8 python -m jmarl"
STAND_INS = {"<this repository>": str(ROOT)}  # what a document cannot know
SHORTER = {  # what a document says: what a test runs
    "mpe/simple_spread --total-steps 2e6 --num-envs 64": f"mpe/simple_spread {DPG}",
    "plot intrinsic RUN": "plot intrinsic LIIR",
    "@qmix/smax-3m --seeds 4": f"@qmix/smax-3m --env matrix/two_step --seeds 2 {Q}",
    "train ./mine.yaml": f"train ./mine.yaml --env matrix/two_step {Q}",
    "total_steps=100_000, seeds=2": (
        "total_steps=1200, seeds=2, num_envs=4, evaluations=2, eval_episodes=4, hidden_dim=(8, 8), "
        "batch_size=16, buffer_size=400, warmup_steps=100"
    ),
    "--preset official --total-steps 1e6": f"--preset official {DPG}",
    "--batch-size 256 --env-steps-per-update 50 --total-steps 4e5": (
        f"--env-steps-per-update 50 {DPG}"
    ),
    "--preset pymarl2 --num-envs 32 --total-steps 3e5": f"--preset pymarl2 {Q}",
    "--td-lambda 0.6 --optimiser adam --seeds 4": f"--td-lambda 0.6 --optimiser adam {Q}",
    "--preset group_matching --seeds 4 --total-steps 1e6": f"--preset group_matching {ATTENTIVE}",
    "smax/3-8sz --num-envs 32 --total-steps 1e6": f"smax/3-8sz {ATTENTIVE}",
    "--preset recurrent --num-envs 64 --total-steps 1e6": f"--preset recurrent {PI}",
    "liir --env smax/3m --preset fast --total-steps 1e6": f"liir --env smax/3m --preset fast {PI}",
    "--seeds 4 --wandb online": f"--seeds 2 {Q} --wandb offline",
    "jmarl sweep experiments/sweeps/qmix.yaml --trials 8": (
        "sed 's/5e5/600/; s/smax.3m/matrix\\/two_step/; s/- 4/- 2/; s/win_rate/episode_return/' "
        "experiments/sweeps/qmix.yaml > small.yaml && jmarl sweep small.yaml --trials 2"
    ),
    "jmarl train qmix --env smax/3m --seeds 8 --mesh": (
        f"{DEVICES} train qmix --env matrix/two_step --seeds 8 {Q} --mesh"
    ),
    "jmarl train qmix --env smax/3m --seeds 2 --num-envs 64 --mesh": (
        f"{DEVICES} train qmix --env matrix/two_step --seeds 2 {Q} --mesh"
    ),
    'env_options={"cells": 6}, total_steps=200_000, seeds=4': (
        'env_options={"cells": 6}, total_steps=1200, seeds=2, num_envs=4, evaluations=1, '
        "eval_episodes=4, hidden_dim=(8,), rollout_length=20, checkpoint_minutes=0"
    ),
    "--env.cells 6 --total-steps 2e5 --seeds 4": (
        f"--env.cells 6 {TINY} --hidden-dim 8 --rollout-length 20 --total-steps 1200 --seeds 2"
    ),
    "./theirs.yaml --seeds 2": f"./theirs.yaml --seeds 2 {Q}",
    "--preset fast --total-steps 1e6 --evaluations 10": f"--preset fast {Q}",
    "--rnn-dim 0 --episodes-per-update 4 --total-steps 1e6": (
        f"--episodes-per-update 4 {Q.replace('--rnn-dim 8', '--rnn-dim 0')}"
    ),
    "total_steps=100_000, seeds=4, lr=1e-2": (
        "total_steps=9600, seeds=2, lr=3e-2, evaluations=1, hidden_dim=16, checkpoint_minutes=0"
    ),
    "toy/cue --total-steps 1e5 --seeds 4 --lr 1e-2": (
        "toy/cue --total-steps 9600 --seeds 2 --lr 3e-2 --evaluations 1 --hidden-dim 16"
    ),
    "pip install -e .\njmarl envs mine/meet": (
        "mkdir package && cp pyproject.toml package && sed /register/d meet.py > package/meet.py\n"
        "python -m pip install --quiet --no-deps --no-index --no-build-isolation --target site "
        "./package\n"
        "cd package && PYTHONPATH=../site:${PYTHONPATH-} python -m jmarl envs mine/meet | grep left"
    ),
    "for algo in vdn qmix qatten": "for algo in vdn",
    "--seeds 10 --total-steps 1e6 --out": f"--seeds 2 {Q} --out",
}
SLOW = {  # first commands of blocks that no word of MADE makes slow
    "pip install -e .",
    "for algo in vdn qmix qatten; do",  # one command reads what another has trained
    "jmarl sweep experiments/sweeps/qmix.yaml --trials 8",
    "jmarl train qmix --env smax/3m --seeds 8 --mesh seed=8",  # this process has one device
}
MADE = {  # words that stand for something in documents, in the order in which they are made
    "RUN": f"jmarl train maac --env particle/simple_tag --out RUN --quiet {DPG}",
    "OTHER": f"jmarl train maac --env particle/simple_tag --seed 1 --out OTHER --quiet {DPG}",
    "LIIR": f"jmarl train liir --env matrix/two_step --out LIIR --quiet {PI}",
    "FOLDER": "jmarl export RUN --out FOLDER",
}
ON_A_HOST = "jmarl train qmix --env smax/3m --seeds 8 --mesh seed=8 --out RUN --distributed "
TWO_HOSTS = "tests/test_hosts.py::test_one_process_writes_and_shows"  # of a smaller run
ELSEWHERE = {  # a command as it stands: the test that runs it
    f"{ON_A_HOST}10.0.0.1:4321,2,0": TWO_HOSTS,
    f"{ON_A_HOST}10.0.0.1:4321,2,1": TWO_HOSTS,
    "wandb sweep experiments/sweeps/qmix.yaml": (
        "tests/test_sweeps.py::test_an_agent_runs_the_trials_that_its_server_hands_out"
    ),
}
FENCE = re.compile(r"^```(.*)$")


@dataclass(frozen=True)
class Block:
    """Fenced lines of a document."""

    document: str  # README.md, docs/scale.md
    line: int  # of its first line
    language: str
    title: str  # the file that it is, or ""
    text: str

    @property
    def place(self) -> str:
        return f"{self.document}:{self.line}"

    @property
    def first(self) -> str:
        return self.text.partition("\n")[0]

    @property
    def needs(self) -> set[str]:
        """Words of MADE."""
        return set(MADE) & set(re.findall(r"\w+", self.as_it_stands + self.shortened))

    @property
    def slow(self) -> bool:
        """Left out of `make test`."""
        return command(self.first) in SLOW or bool(self.needs)

    @property
    def as_it_stands(self) -> str:
        """What a test runs of it where nothing is trained."""
        text = self.text
        for word, stand_in in STAND_INS.items():
            text = text.replace(word, stand_in)
        return "\n".join(line for line in text.splitlines() if command(line) not in ELSEWHERE)

    @property
    def shortened(self) -> str:
        """What a test runs of it."""
        text = self.as_it_stands
        for long, short in SHORTER.items():
            text = text.replace(long, short)
        return text

    @property
    def uses(self) -> set[str]:
        """The rows of the tables above that it needs."""
        rows = {row for row in (*SHORTER, *STAND_INS) if row in self.text}
        commands = {command(line) for line in self.text.splitlines()}
        return rows | self.needs | (commands & {*ELSEWHERE, *SLOW})


def command(line: str) -> str:
    """A line of shell without its comment."""
    return re.sub(r"\s+#.*", "", line).strip()


def documents() -> list[str]:
    """All that are written in Markdown for users, but the generated reference."""
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return [path.relative_to(ROOT).as_posix() for path in paths]


def blocks_of(document: str, text: str) -> list[Block]:
    """The fenced blocks of a document; ValueError, saying where, for what is no block to run."""
    found, opened = [], None
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        fence = FENCE.match(line.strip())
        if fence and opened is None:
            opened = number, fence.group(1).strip()
        elif fence and opened:
            start, info = opened
            found.append(block(document, start + 1, info, "\n".join(lines[start : number - 1])))
            opened = None
        elif opened is None and line.startswith(("    ", "\t")) and not lines[number - 2].strip():
            raise ValueError(f"{document}:{number} is indented: fence it, so that it is run")
    if opened:
        raise ValueError(f"{document}:{opened[0]} opens a block that nothing closes")
    return found


def block(document: str, line: int, info: str, text: str) -> Block:
    language, _, rest = info.partition(" ")
    if language not in LANGUAGES:
        known = ", ".join(LANGUAGES)
        raise ValueError(f"{document}:{line} is in {language!r}: blocks that run are in {known}")
    title = re.fullmatch(r'title="([\w.-]+)"', rest) if rest else None
    if rest and not title:
        raise ValueError(f'{document}:{line}: expected title="FILE" behind {language}, got {rest}')
    return Block(document, line, language, title.group(1) if title else "", text + "\n")


def all_blocks() -> list[Block]:
    return [block for name in documents() for block in blocks_of(name, (ROOT / name).read_text())]
