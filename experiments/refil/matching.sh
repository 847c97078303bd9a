#!/usr/bin/env bash
# REFIL on Group Matching with the released settings: its randomised oracle, REFIL itself, QMIX
# (Attention), a run for each seed, into runs/refil-matching (or the folder given). What is there is
# gone on with. RIVALS, STEPS, SEEDS (numbers) and FLAGS choose.
#   SEEDS="0 1 2 3 4" experiments/refil/matching.sh     some 30 minutes of one CPU core for a run; two
#                                                      scripts with half of the seeds take two cores
#   SEEDS="0 1 2 3 4 5 6 7 8 9" RIVALS="oracle fixed_oracle refil qmix vdn refil_vdn" \
#     experiments/refil/matching.sh                    a GPU
# Then: jmarl compare runs/refil-matching/* --out COMPARED
set -euo pipefail
out=${1:-runs/refil-matching}
train() { # LABEL FLAGS...
  local run=$out/$1-$seed
  if [ -e "$run" ]; then
    jmarl train --resume "$run" --quiet
  else
    jmarl train refil --preset group_matching --total-steps "${STEPS:-1e6}" --seed "$seed" ${FLAGS-} \
      --evaluations 20 --eval-episodes 256 --quiet --out "$run" "${@:2}"
  fi
}
for seed in ${SEEDS:-0 1 2 3 4}; do
  for rival in ${RIVALS:-oracle refil qmix}; do
    case $rival in
      oracle) train oracle --groups random_true ;;
      fixed_oracle) train fixed_oracle --groups true ;;
      refil) train refil ;;
      qmix) train qmix --groups none ;;
      vdn) train vdn --mixer sum --groups none ;;
      refil_vdn) train refil_vdn --mixer sum ;;
    esac
  done
done
