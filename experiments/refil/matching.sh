#!/usr/bin/env bash
# REFIL on Group Matching: its randomised oracle, REFIL itself, QMIX (Attention), into
# runs/refil-matching (or the folder given). RIVALS, STEPS, SEEDS and FLAGS choose.
#   SEEDS=5 experiments/refil/matching.sh                          two CPU cores; what is recorded
#                                                                  had --td-lambda 0.6 besides
#   STEPS=1e6 FLAGS="" RIVALS="oracle fixed_oracle refil qmix vdn refil_vdn" \
#     experiments/refil/matching.sh                                the released settings, a GPU
# Then: python experiments/teams.py runs/refil-matching experiments/refil/results/matching
set -euo pipefail
out=${1:-runs/refil-matching}
small="--num-envs 32 --batch-size 8 --optimiser adam"
train() { # LABEL FLAGS...
  jmarl train refil --preset group_matching --total-steps "${STEPS:-4e5}" --seeds "${SEEDS:-10}" \
    ${FLAGS-$small} --evaluations 20 --eval-episodes 256 --quiet --out "$out/group_matching-$1" "${@:2}"
}
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
