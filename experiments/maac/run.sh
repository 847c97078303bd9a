#!/usr/bin/env bash
# MAAC and its rivals, into runs/maac-study (or the folder given): Rover-Tower, or with TASK=ctc
# Cooperative Treasure Collection. STEPS and SEEDS choose how long and how many. Then:
#   python experiments/report.py runs/maac-study experiments/maac/results
#   python experiments/maac/own_tower.py runs/maac-study/rover_tower-maac
set -euo pipefail
out=${1:-runs/maac-study} task=${TASK:-rover_tower} seeds=${SEEDS:-4}
case $task in
  rover_tower) env=particle/rover_tower steps=${STEPS:-1_250_000} ;;
  ctc) env=particle/treasure_collection steps=${STEPS:-5_000_000} ;;
esac
train() {
  jmarl train "$1" --env "$env" --total-steps "$steps" --seeds "$seeds" --eval-episodes 128 \
    --checkpoint-minutes 5 --keep-checkpoints 30 --out "$out/$task-$2" "${@:3}"
}
for algorithm in maac maddpg_sac coma_sac; do train $algorithm $algorithm --preset official; done
train maac maac_uniform --preset official --uniform-attention
# the paper's MADDPG and DDPG are discrete (straight-through), with hyperparameters of their own
for algorithm in maddpg ddpg; do
  train $algorithm $algorithm --preset iqbal --num-envs 12 --rollout-length 25 --gamma 0.99
done
