#!/usr/bin/env bash
# Eight agents of one sweep as a SLURM array; no internet is needed.
#
#   sbatch --chdir=/path/to/gc2l sweeps/slurm_array.sh sweeps/table1-digits.yaml
#
# Each agent takes the next cell that has no record and that no other agent is running, until none is left.
# An agent that is preempted or reaches its time limit is queued again, and its cell continues from the last epoch.
#SBATCH --job-name=gc2l
#SBATCH --array=1-8
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-task=1
#SBATCH --ntasks=1
#SBATCH --time=24:00:00
#SBATCH --requeue
# SIGTERM two minutes before the limit: to this script, which passes it on.
#SBATCH --signal=B:TERM@120
#SBATCH --output=.scratch/slurm-%A-%a.log

set -uo pipefail

sweep=${1:?"usage: sbatch --chdir=CHECKOUT sweeps/slurm_array.sh SWEEP_FILE"}
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}

stopped='' agent=''
trap 'stopped=yes; [[ ! $agent ]] || kill -TERM "$agent"' TERM
.venv/bin/python experiments/sweep.py "$sweep" &
agent=$!
[[ ! $stopped ]] || kill -TERM "$agent"  # the signal came before there was one
wait "$agent"
status=$?
if [[ $stopped ]]; then
    wait "$agent"  # the first was cut short by the signal
    status=$?
    scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
fi
exit "$status"
