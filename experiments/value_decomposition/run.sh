#!/usr/bin/env bash
# The studies of this folder, into runs/value-study (or the folder given); under an hour on two CPU
# cores. Then tables, figures and raw data:
#   cd experiments; results=value_decomposition/results
#   python report.py ../runs/value-study/grid $results
#   python value_decomposition/tables.py ../runs/value-study/matrix $results
set -euo pipefail
out=${1:-runs/value-study}

grid() { # GAME ALGORITHM STEPS STEPS_OF_DECAY
  jmarl train "$2" --env "grid/$1" --total-steps "$3" --eps-decay "$4" \
    --optimiser adam --lr 1e-3 --td-lambda 0.8 --rnn-dim 32 --hidden-dim 32 \
    --num-envs 32 --episodes-per-update 4 --buffer-size 2000 --target-update-interval 50 \
    --seeds "${seeds:-4}" --evaluations 10 --eval-episodes 1 --quiet --out "$out/grid/$1-$2"
}

# Payoff tables: all play at random for ever and see the whole state (the QMIX paper's setting);
# 1000 gradient steps on 256 episodes each, of 4096 that are collected anew after every hundred.
matrix() { # GAME LABEL ALGORITHM STEPS FLAGS...
  jmarl train "$3" --env "matrix/$1" --env.agent_ids true --rnn-dim 0 --last-action false \
    --eps-finish "${finish:-1}" --optimiser adam --lr 2e-3 --batch-size 256 --target-update-interval 50 \
    --num-envs 4096 --buffer-size 4096 --warmup-episodes 1 --episodes-per-update 40.96 \
    --total-steps "$4" --seeds 8 --evaluations 1 --eval-episodes 1 --quiet \
    --out "$out/matrix/$1-$2" "${@:5}"
}

for algorithm in vdn iql; do
  grid switch2 $algorithm 300_000 100_000
  grid fetch $algorithm 600_000 200_000
  grid switch4 $algorithm 600_000 200_000
done
grid checkers vdn 800_000 400_000
seeds=8 grid checkers iql 800_000 400_000  # they differ more
for algorithm in iql vdn qmix qatten qtran; do
  size=()
  [ $algorithm = qmix ] && size=(--mixing-dim 8 --hypernet-dim 0)
  matrix two_step $algorithm $algorithm 90_112 "${size[@]}"
  for game in mild_penalty penalty safe_choice; do
    matrix $game $algorithm $algorithm 45_056 "${size[@]}"
  done
done
matrix two_step qatten_nonlinear qatten 90_112 --nonlinear true
# and what epsilon-greedy play makes of the two-step game
for algorithm in iql vdn; do
  finish=0.05 matrix two_step ${algorithm}_greedy $algorithm 90_112 --eps-decay 30_000
done
