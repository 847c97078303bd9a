"""What one should know of each of jumanji 1.1.2's games."""

from jmarl_envs.catalogue import Listing

_TIME = "the step count in observations (jumanji's have it; a learner may add time)"

LISTINGS = {
    "level_based_foraging": Listing(
        "agents join levels to eat food that is too much for one",
        "each: its share, by levels, in the food it helped to eat; all food of an episode is 1",
        lacks=(_TIME, "observations as grids", "penalties for failed loading"),
        defects=(
            "agents never start in a row whose number is the row or column of a food (the "
            "generator masks rows instead of cells)",
            "forced cooperation means the three agents of the lowest levels, not all",
        ),
    ),
    "robot_warehouse": Listing(
        "robots carry requested shelves to the goals without colliding",
        "team: 1 for every requested shelf on a goal",
        lacks=(_TIME, "entities"),
        defects=(
            "a collision ends the episode for good (in the original, robots wait instead), and "
            "driving into a cell before its robot has left counts as one",
            "a carrying robot that stays where shelves stand puts its shelf down",
            "robots may start under shelves and on goals",
            "jumanji ends its episodes at the time limit as if for good (here: truncated), and "
            "garbles what a robot that was run over sees last (here: in its place)",
        ),
    ),
    "connector": Listing(
        "agents draw wires to their targets that must not cross",
        "each: 1 for connecting, -0.03 for every step before",
        lacks=(_TIME, "entities"),
        defects=(
            "jumanji observes one grid for all (here each sees which head and target are its)",
        ),
    ),
    "cleaner": Listing(
        "agents clean all corridors of a random maze",
        "team: 1 for every tile cleaned, -0.5 for every step",
        lacks=(_TIME, "entities"),
        defects=(
            "all start on the same tile and see the same: only an id tells them apart",
            "jumanji ends its episodes at the time limit as if for good (here: truncated), and "
            "takes rows for columns in masks of mazes that are not square (here: mended)",
        ),
    ),
    "search_and_rescue": Listing(
        "searchers find targets that drift over a square without edges",
        "each: for every target found, shared with who finds it too, 1 falling to 0 at the limit",
        lacks=(
            _TIME,
            "the searchers' positions in observations (jumanji gives them for debugging)",
        ),
        defects=("jumanji ends its episodes at the time limit as if for good (here: truncated)",),
    ),
    "multi_cvrp": Listing(
        "vehicles bring customers their goods in soft time windows",
        "team: minus distances driven and penalties for early and late arrivals",
        lacks=("a limit of one's own (two steps per customer)", "entities"),
        defects=(
            "who has run out of steps is charged an estimate for the rest, and the episode ends "
            "for good though steps are not observed",
        ),
    ),
    "mmst": Listing(
        "agents connect their own nodes of a graph without sharing others",
        "team: for each agent 10 for a new node of its own, else -1, -2 if it could not go there",
        lacks=(_TIME, "graphs of other sizes", "entities"),
        defects=(
            "drawing a graph takes some hundred times as long as a step",
            "jumanji observes all agents' nodes as the first one sees them (here: each its own "
            "first), and ends its episodes at the time limit as if for good (here: truncated)",
            "an agent may be shut in by the others (here it may then stay, which costs it 2)",
        ),
    ),
}
