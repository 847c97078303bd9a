#!/usr/bin/env bash
# LIIR and what it is compared with in battles of SMAX, four seeds each. MAPS, STEPS, SEEDS choose.
#   MAPS="3m 2s3z" STEPS=1e6 experiments/liir/smax.sh                              two CPU cores
#   MAPS="3m 8m 2s3z 3s5z" STEPS=1e7 SEEDS=10 experiments/liir/smax.sh     for a GPU
# Then: python experiments/report.py runs/liir-smax experiments/liir/results/smax
set -euo pipefail
out=${1:-runs/liir-smax}
train() {
  jmarl train "$1" --preset fast --env "smax/$map" --total-steps "${STEPS:-1e6}" --seeds "${SEEDS:-4}" \
    --evaluations 20 --eval-episodes 128 --num-envs "${ENVS:-32}" ${FLAGS:-} --out "$out/$map-$2" "${@:3}"
}
for map in ${MAPS:-3m 8m 2s3z 3s5z}; do
  for algorithm in liir coma central_v iac; do train $algorithm $algorithm; done
  train liir liir_weightless --intrinsic-weight 0
  train liir liir_release --release-mode true
done
