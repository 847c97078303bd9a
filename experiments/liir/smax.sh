#!/usr/bin/env bash
# LIIR and what it is compared with in battles of SMAX. MAPS, STEPS, SEEDS and RIVALS choose.
#   SEEDS=4 MAPS="3m 2s3z" experiments/liir/smax.sh                           two CPU cores,
#   SEEDS=4 MAPS="8m 3s5z" STEPS=3e5 experiments/liir/smax.sh                 as recorded
#   STEPS=1e7 experiments/liir/smax.sh                                         for a GPU
# Then: python experiments/teams.py runs/liir-smax experiments/liir/results/smax
set -euo pipefail
out=${1:-runs/liir-smax}
train() {
  jmarl train "$1" --preset fast --env "smax/$map" --total-steps "${STEPS:-1e6}" --seeds "${SEEDS:-10}" \
    --evaluations 20 --eval-episodes 128 --num-envs 8 --entropy-weight 0.1 \
    --quiet --out "$out/$map-$2" "${@:3}"
}
for map in ${MAPS:-3m 8m 2s3z 3s5z}; do
  for rival in ${RIVALS:-liir coma central_v iac weightless release}; do
    case $rival in
      weightless) train liir liir_weightless --intrinsic-weight 0 ;;
      release) train liir liir_release --release-mode true ;;
      *) train "$rival" "$rival" ;;
    esac
  done
done
