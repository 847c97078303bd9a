#!/usr/bin/env bash
# REFIL on Group Matching with the released settings: its randomised oracle, REFIL itself, QMIX
# (Attention), a run for each seed, into runs/refil-matching (or the folder given). A run that is
# there is gone on with, and one that fails does not stop the others. RIVALS, STEPS, SEEDS (numbers)
# and FLAGS choose.
#   SEEDS="0 1 2 3 4" experiments/refil/matching.sh     some 30 minutes of one CPU core for a run; two
#                                                      scripts with half of the seeds take two cores
#   SEEDS="0 1 2 3 4 5 6 7 8 9" RIVALS="oracle fixed_oracle refil qmix vdn refil_vdn" \
#     experiments/refil/matching.sh                    a GPU
# Then: jmarl compare runs/refil-matching/* --out COMPARED
set -euo pipefail
. "$(dirname "$0")/rivals.sh"
out=${1:-runs/refil-matching} failed=0
train() { # LABEL FLAGS...
  local run=$out/$1-$seed where
  where=(refil --preset group_matching --seed "$seed" --evaluations 20 --eval-episodes 256 --out "$run")
  if [ -e "$run/config.json" ]; then where=(--resume "$run"); fi
  jmarl train "${where[@]}" --total-steps "${STEPS:-1e6}" ${FLAGS-} --quiet "${@:2}" || failed=1
}
for seed in ${SEEDS:-0 1 2 3 4}; do
  for rival in ${RIVALS:-oracle refil qmix}; do
    train "$rival" $(settings "$rival")
  done
done
exit $failed
