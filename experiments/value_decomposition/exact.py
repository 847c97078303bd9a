"""What each mixer makes of a payoff table when all joint actions are played equally often.

The joint value of a mixer that has learned is the table, of all that it can express, with the least
mean squared error. No training here: the numbers are worked out.
"""

import itertools

import numpy as np
from scipy.optimize import nnls


def independent(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """IQL: each action's mean, over what the other does; [rows], [columns]."""
    return table.mean(1), table.mean(0)


def additive(table: np.ndarray) -> np.ndarray:
    """VDN, and Qatten: its weights depend on the state alone, so at a state it is a sum too."""
    rows, columns = independent(table)
    return rows[:, None] + columns - table.mean()


def monotonic(table: np.ndarray) -> np.ndarray:
    """The best table that rises in both agents' actions, in whatever order each puts its own.

    QMIX's mixer of one hidden layer can express fewer, so its error is at least as large.
    """
    rows, columns = (list(itertools.permutations(range(size))) for size in table.shape)
    fits = (rising(table, row, column) for row in rows for column in columns)
    return min(fits, key=lambda fit: float(((fit - table) ** 2).sum()))


def rising(table: np.ndarray, rows: tuple[int, ...], columns: tuple[int, ...]) -> np.ndarray:
    """The least-squares table that rises along these orders (isotonic regression).

    Such tables are a constant and a sum, with weights of at least zero, of indicators of the sets
    that hold with every cell all those above it.
    """
    order = np.ix_(rows, columns)
    sets = np.stack([above.ravel() for above in upper_sets(*table.shape)], 1).astype(float)
    basis = np.concatenate([sets, -np.ones((table.size, 1))], 1)
    weights, _ = nnls(basis, table[order].ravel())
    fit = np.empty_like(table)
    fit[order] = (basis @ weights).reshape(table.shape)
    return fit


def upper_sets(rows: int, columns: int) -> list[np.ndarray]:
    """[rows, columns] bool each: row by row no fewer cells, counted from the last column."""
    counts = itertools.combinations_with_replacement(range(columns + 1), rows)
    last = np.arange(columns)[::-1]
    return [last < np.array(count)[:, None] for count in counts if any(count)]
