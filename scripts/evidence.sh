#!/usr/bin/env bash
# The fine-tuning runs behind RESULTS.md's table of benchmarks, one after another, where
# MatBench's and UnconvBench's own files are not at hand (docs/evidence.md).
#
#     bash scripts/evidence.sh [RUNS]
#
# Each run resumes and is left alone once it is finished. With the benchmarks' own files
# the commands are those of configs/matbench, configs/unconvbench and configs/discovery.py
# without --config.data.table.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${1:-runs/evidence}
mkdir -p tables
python -m scripts.make_benchmark_tables data tables | tee tables/notes.txt
[ -d datasets/discovery ] ||
  python -m cloud_jax.preprocess configs/discovery.toml --output datasets/discovery

# tune NAME NOTE ARGUMENTS...: from the pretrained encoder, and from scratch. `seen` is
# what a reader of the first must know.
seen=
tune() {
  local name=$1 note=$2
  shift 2
  python -m cloud_jax.finetune "$@" --config.note="$note$seen" --workdir "$runs/$name"
  python -m cloud_jax.finetune "$@" --config.note="$note" --config.model.checkpoint= \
    --workdir "$runs/${name}_scratch"
}
note() { sed -n "s/^$1: //p" tables/notes.txt; }
table() { tune "$2" "$(note "$1")" --config "configs/$3" --config.data.table="tables/$1.csv.gz" "${@:4}"; }

tune phonons "" --config configs/matbench/phonons.py
table matbench_jdft2d jdft2d matbench/jdft2d.py
table matbench_perovskites perovskites matbench/perovskites.py \
  --config.folds.only="('fold_0',)"
table matbench_mp_gap mp_gap matbench/mp_gap.py \
  --config.optimizer.batch_crystals=32 --config.optimizer.epochs=15
table unconvbench_supercon supercon unconvbench/supercon.py
table unconvbench_defected defected unconvbench/defected.py
seen="; the encoder has seen WBM's unrelaxed cells, no energies"
table discovery discovery discovery.py --config.data.dataset=datasets/discovery
seen=
phonon=(--config.data.table=phonon --config.folds.column=fold)
for target in cv u; do
  tune "thermal_$target" "" --config "configs/thermal_$target.py" "${phonon[@]}"
  python -m cloud_jax.finetune --config "configs/thermal_$target.py" "${phonon[@]}" \
    --config.head.law= --config.members=2 --config.optimizer.epochs=30 --workdir "$runs/thermal_${target}_plain"
done

# The refractive index is at hand as the reference's strings only, so in its dialect,
# which takes an encoder of its own: runs/volume_paper (docs/evidence.md).
paper=(--config.data.scope_column=scope --config.data.dialect=paper)
paper+=(--config.data.table=tables/matbench_dielectric.csv.gz)
paper+=(--config configs/matbench/dielectric.py)
paper+=(--config.note="$(note matbench_dielectric)")
python -m cloud_jax.finetune "${paper[@]}" --workdir "$runs/dielectric" \
  --config.model.checkpoint=runs/volume_paper
python -m cloud_jax.finetune "${paper[@]}" --workdir "$runs/dielectric_scratch" \
  --config.model.checkpoint=
