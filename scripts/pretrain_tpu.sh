#!/usr/bin/env bash
# Pretrain on all hosts of a TPU pod slice:
#
#   scripts/pretrain_tpu.sh NAME ZONE configs/bert12.py --workdir /mnt/shared/runs/bert12
#
# Before: the checkout at ~/cloud_jax on every host with its .venv and `jax[tpu]`, and
# the workdir and data set on a file system that all hosts share (Filestore, or a bucket
# mounted with gcsfuse). The same command resumes.
set -euo pipefail
name=$1 zone=$2
shift 2

printf -v arguments ' %q' "$@"
gcloud compute tpus tpu-vm ssh "$name" --zone="$zone" --worker=all \
  --command="cd ~/cloud_jax && .venv/bin/python -m cloud_jax.pretrain --distributed=auto --config$arguments"
