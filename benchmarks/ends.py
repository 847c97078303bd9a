"""How a measuring script ends."""

from collections.abc import Callable

from jmarl.cli import is_wrong_use
from jmarl.signals import Stopped


def exit_code(run: Callable[[], int], say: Callable[[str], None], lost: str = "") -> int:
    """That of `run`, 2 for wrong use, 128 and its number for a signal: told in a line, with what
    is `lost` by it."""
    try:
        return run()
    except ValueError as error:
        if not is_wrong_use(error):
            raise
        say(str(error))
        return 2
    except Stopped as stopped:
        say(f"{stopped}{lost}")
        return 128 + stopped.number
