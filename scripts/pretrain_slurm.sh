#!/usr/bin/env bash
# Pretrain on a Slurm cluster, one task per GPU:
#
#   sbatch --nodes=2 scripts/pretrain_slurm.sh configs/bert12.py --workdir /shared/runs/bert12
#
# The workdir and the data set must lie on a file system that all nodes share. Two
# minutes before the time limit the run saves and exits with 75, and is queued again.
#SBATCH --job-name=cloud_jax
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=12:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -uo pipefail

# Tasks end by themselves when one fails: jax notices a missing process.
srun --kill-on-bad-exit=0 .venv/bin/python -m cloud_jax.pretrain --distributed=auto --config "$@"
code=$?
if [ "$code" -eq 75 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
