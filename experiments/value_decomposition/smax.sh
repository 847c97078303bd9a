#!/usr/bin/env bash
# Battles of SMAX: win rates of four algorithms, preset fast. MAPS, STEPS, SEEDS and FLAGS choose.
#   SEEDS=4 MAPS="3m" STEPS=1e6 experiments/value_decomposition/smax.sh       two CPU cores: 10 minutes a run
#   MAPS="2s3z 3s5z 5m_vs_6m 10m_vs_11m 27m_vs_30m 3s5z_vs_3s6z 6h_vs_8z" STEPS=1e7 \
#     experiments/value_decomposition/smax.sh                          for a GPU
# Then: python experiments/report.py runs/smax-study experiments/value_decomposition/results/smax
set -euo pipefail
out=${1:-runs/smax-study}
for map in ${MAPS:-3m 8m 2s3z 3s5z 5m_vs_6m}; do
  for algorithm in ${ALGORITHMS:-qmix vdn qatten iql}; do
    jmarl train "$algorithm" --preset fast --env "smax/$map" --total-steps "${STEPS:-1e6}" \
      --seeds "${SEEDS:-10}" --evaluations 20 --eval-episodes 128 ${FLAGS:-} --quiet --out "$out/$map-$algorithm"
  done
done
