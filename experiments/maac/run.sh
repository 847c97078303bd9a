#!/usr/bin/env bash
# MAAC and its rivals, into runs/maac-study (or the folder given): Rover-Tower, or with TASK=ctc
# Cooperative Treasure Collection. STEPS, SEEDS and FLAGS choose; RIVALS whom to train.
#   SEEDS=4 experiments/maac/run.sh                                     two CPU cores, as recorded
#   STEPS=1_250_000 BUFFER=1_000_000 FLAGS="--preset official" RIVALS="maac maac_uniform maddpg_sac coma_sac" \
#     experiments/maac/run.sh                                           the released settings, a GPU
# Then: python experiments/teams.py runs/maac-study experiments/maac/results
#       python experiments/maac/own_tower.py runs/maac-study/rover_tower-maac
set -euo pipefail
out=${1:-runs/maac-study} task=${TASK:-rover_tower} small="--batch-size 256 --env-steps-per-update 50"
case $task in
  rover_tower) env=particle/rover_tower rivals="maac maac_uniform maddpg_sac coma_sac maddpg ddpg" ;;
  ctc) env=particle/treasure_collection rivals="maac maac_uniform maddpg_sac coma_sac maddpg ddpg" ;;
esac
train() { # ALGORITHM LABEL FLAGS...
  jmarl train "$1" --env "$env" --total-steps "${STEPS:-400_000}" --seeds "${SEEDS:-10}" \
    --eval-episodes 128 --evaluations 10 --buffer-size "${BUFFER:-450_000}" --checkpoint-minutes 5 \
    --keep-checkpoints 4 --out "$out/$task-$2" "${@:3}"
}
for rival in ${RIVALS:-$rivals}; do
  case $rival in
    maac_uniform) train maac maac_uniform ${FLAGS:-$small} --uniform-attention ;;
    # the paper's MADDPG and DDPG are discrete (straight-through), with hyperparameters of their own
    maddpg | ddpg) train "$rival" "$rival" --preset iqbal --gamma 0.99 --num-envs 64 --rollout-length 25 $small ;;
    *) train "$rival" "$rival" ${FLAGS:-$small} ;;
  esac
done
