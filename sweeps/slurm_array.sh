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
# SIGUSR1 two minutes before the limit, to this script: it stops the agent and queues the job again. SIGTERM, which comes
# with scancel and where SLURM itself queues the job again, only stops the agent.
#SBATCH --signal=B:USR1@120
#SBATCH --output=.scratch/slurm-%A-%a.log
#SBATCH --open-mode=append

set -uo pipefail

sweep=${1:?"usage: sbatch --chdir=CHECKOUT sweeps/slurm_array.sh SWEEP_FILE"}
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}

agent='' interrupted='' again=''
trap 'interrupted=yes; [[ ! $agent ]] || kill -TERM "$agent"' TERM
trap 'interrupted=yes again=yes; [[ ! $agent ]] || kill -TERM "$agent"' USR1

.venv/bin/python experiments/sweep.py "$sweep" &
agent=$!
[[ ! $interrupted ]] || kill -TERM "$agent"  # the signal came before there was one
while
    interrupted=''
    wait "$agent"
    status=$?
    [[ $interrupted ]]  # by a signal: the agent may still be stopping
do :; done
if [[ $again && $status -ne 0 ]]; then
    scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
fi
exit "$status"
