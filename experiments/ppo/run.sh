#!/usr/bin/env bash
# IPPO and MAPPO on cooperative navigation and in battles of SMAX. STEPS, SMAX_STEPS,
# MAPS and SEEDS choose; published levels are those of 10M steps.
#   SEEDS=4 STEPS=5e6 SMAX_STEPS=5e5 experiments/ppo/run.sh                    two CPU cores, as recorded
#   MAPS="2s3z 3s5z 5m_vs_6m 6h_vs_8z" STEPS=1e7 SMAX_STEPS=1e7 ENVS=64 \
#     experiments/ppo/run.sh                                                   for a GPU
# Then: python experiments/teams.py runs/ppo experiments/ppo/results
set -euo pipefail
out=${1:-runs/ppo} seeds=${SEEDS:-10}
shared="--evaluations 20 --eval-episodes 128 --quiet"
for algorithm in ippo mappo; do
  jmarl train $algorithm --env mpe/simple_spread --total-steps "${STEPS:-1e7}" --seeds "$seeds" \
    --num-envs 32 --lr 1e-3 --critic-lr 1e-3 $shared --out "$out/simple_spread-$algorithm"
  for map in ${MAPS:-2s3z}; do
    jmarl train $algorithm --preset recurrent --env "smax/$map" --total-steps "${SMAX_STEPS:-1e7}" \
      --seeds "$seeds" --num-envs "${ENVS:-16}" $shared --out "$out/$map-$algorithm"
  done
done
