#!/usr/bin/env bash
# The whole job on the sample data: make a model forget 64 support tickets, and compare it with the model
# that was retrained without them. Writes into sample_data/out/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

show() {
    printf '\n$ %s\n' "$*"
    "$@"
}

rm -rf out
mkdir out

# Once, after training: the statistics of the training set, and what unseen tickets look like to the model.
show speu fisher model --data train.jsonl --holdout heldout.jsonl -o out/fisher.safetensors

# For each request: which heads and filters hold what is to be forgotten, and the step that forgets it.
show speu mask model --fisher out/fisher.safetensors --data train.jsonl --forget forget_64.txt \
    --sparsity 0.9 -o out/mask.safetensors
show speu unlearn model --fisher out/fisher.safetensors --data train.jsonl --forget forget_64.txt \
    --holdout heldout.jsonl --mask out/mask.safetensors -o out/unlearned

# Did it forget, and is everything else still there?
show speu eval out/unlearned --data train.jsonl --forget forget_64.txt --test test.jsonl \
    --original model --reference retrained
