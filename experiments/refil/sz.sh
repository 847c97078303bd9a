#!/usr/bin/env bash
# REFIL in battles of 3 to 8 stalkers and zealots (smax/3-8sz) beside QMIX (Attention), VDN
# (Attention) and REFIL (VDN), and the same trained on 3 to 5 alone, to be tested on 6 to 8.
# Into runs/refil-sz, or the folder given. RIVALS, TEAMS, STEPS, SEEDS and FLAGS choose.
#   SEEDS=3 experiments/refil/sz.sh                   a CPU, some hours: 6 to 15 minutes of a core for
#                                                     each seed; starts left and right as SMAX's,
#                                                     not at a random angle
#   STEPS=1e7 FLAGS="--eps-decay 5e5" experiments/refil/sz.sh          released settings, a GPU
# Then: python experiments/teams.py runs/refil-sz experiments/refil/results/sz
#       python experiments/refil/by_size.py runs/refil-sz experiments/refil/results/sz
set -euo pipefail
. "$(dirname "$0")/rivals.sh"
out=${1:-runs/refil-sz}
small="--env.rotated_starts false --num-envs 8 --batch-size 4 --episodes-per-update 1
  --buffer-size 2048 --warmup-episodes 64 --optimiser adam --td-lambda 0.6 --target-update-interval 100
  --eps-decay 6e4 --entity-dim 64 --hypernet-dim 32 --heads 2"
train() { # LABEL FLAGS...
  jmarl train refil --env smax/3-8sz --total-steps "${STEPS:-1e6}" --seeds "${SEEDS:-10}" \
    ${FLAGS-$small} --evaluations 20 --eval-episodes 128 --quiet --out "$out/$team-$1" \
    --env.max_units "${team: -1}" "${@:2}"
}
for team in ${TEAMS:-3to8 3to5}; do
  for rival in ${RIVALS:-refil qmix vdn refil_vdn}; do
    train "$rival" $(settings "$rival")
  done
done
