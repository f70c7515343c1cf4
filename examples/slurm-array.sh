#!/usr/bin/env bash
# Tokens of a survey by an array of SLURM jobs, any number of which may be killed, requeued or added.
#
#     sbatch --array=1-64 examples/slurm-array.sh MODEL INPUT OUTPUT
#     examples/slurm-array.sh MODEL INPUT OUTPUT         on a laptop: two workers, one after a moment
#
# Every task runs the same command. With --claim, each takes the next shard that nobody is at, so that
# no task idles while another is late; a task that dies loses its shard to the others. The last one
# to end writes manifest.json. AION names the program, AION_OPTIONS further options (--hats, say).
#SBATCH --job-name=aion-tokenize
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --signal=TERM@60
set -euo pipefail

if (($# != 3)); then
    echo "usage: $0 MODEL INPUT OUTPUT" >&2
    exit 2
fi
read -ra options <<<"${AION_OPTIONS:-}"

tokenize() {
    "${AION:-aion}" tokenize --model "$1" --input "$2" --output "$3" --claim --on-error skip \
        --threads "${SLURM_CPUS_PER_TASK:-1}" ${options[@]+"${options[@]}"}
}

if [[ -n ${SLURM_ARRAY_TASK_ID:-} ]]; then
    # SLURM's SIGTERM a minute before the end stops the program after its batch; the shard it was at is
    # given back, and what is complete stays. Where fixed shares are preferred, replace --claim by
    # --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT".
    tokenize "$@"
else
    tokenize "$@" &
    other=$!
    tokenize "$@"
    wait "$other"
fi
