#!/usr/bin/env bash
# IPPO and MAPPO on cooperative navigation and in battles of SMAX, four seeds each. STEPS, MAPS and
# SEEDS choose; published levels are those of 10M steps (SMAX, 64 environments) and 20M (navigation).
#   MAPS=3m STEPS=1e6 experiments/ppo/run.sh                                  two CPU cores
#   MAPS="2s3z 3s5z 5m_vs_6m 6h_vs_8z" STEPS=1e7 SEEDS=10 experiments/ppo/run.sh    for a GPU
# Then: python experiments/report.py runs/ppo-study experiments/ppo/results
set -euo pipefail
out=${1:-runs/ppo-study} steps=${STEPS:-1e7} seeds=${SEEDS:-4}
for algorithm in ippo mappo; do
  jmarl train $algorithm --env mpe/simple_spread --total-steps "$steps" --seeds "$seeds" \
    --num-envs 32 --lr 1e-3 --critic-lr 1e-3 --eval-episodes 128 --out "$out/simple_spread-$algorithm"
  for map in ${MAPS:-2s3z}; do
    jmarl train $algorithm --preset recurrent --env "smax/$map" --total-steps "$steps" \
      --seeds "$seeds" --num-envs 64 --eval-episodes 128 --out "$out/$map-$algorithm"
  done
done
