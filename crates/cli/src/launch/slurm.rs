//! An sbatch script.

use super::{INTERRUPTED, Task};

/// Hours that are asked for at most; the job is put back in the queue when they are over.
const MOST_HOURS: f64 = 48.0;

/// The script. Five minutes before its time is over the training is interrupted, saves, and the job goes
/// back into the queue, as it does when its machine is taken away.
pub fn text(task: &Task) -> String {
    let name = &task.experiment.name;
    let count = task.accelerators.rsplit_once(':').map_or("1", |(_, count)| count);
    let hours = task.hours.ceil().clamp(1.0, MOST_HOURS);
    let lines = |lines: Vec<String>| lines.join("\n");
    let setup = lines(task.setup().map(str::to_owned).into());
    let train = lines(task.train());
    format!(
        "#!/bin/bash
# {name}: `sbatch` this file from the checkout. Asked for: {accelerators}. Set DATA to the folder below which
# the experiment's relative paths lie, RUNS to where runs are kept.
#SBATCH --job-name={name}
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --gpus-per-node={count}
#SBATCH --cpus-per-task=16
#SBATCH --mem=128G
#SBATCH --time={hours:.0}:00:00
#SBATCH --signal=B:INT@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output={name}-%j.log
set -u
cd \"$SLURM_SUBMIT_DIR\"
RUNS=\"${{RUNS:-$PWD/runs}}\"
DATA=\"${{DATA:-$PWD}}\"

(
set -e
{setup}
)
prepared=$?
[ \"$prepared\" -eq 0 ] || exit 1

train() {{
{train}
}}

# The shell gets the signal and passes it on to the training, which saves and ends.
train &
child=$!
trap 'pkill -INT -P \"$child\"' INT
wait \"$child\"
code=$?
# A signal ends the wait, not the training.
while kill -0 \"$child\" 2>/dev/null; do
  wait \"$child\"
  code=$?
done
if [ \"$code\" -eq {INTERRUPTED} ]; then
  scontrol requeue \"$SLURM_JOB_ID\"
fi
exit \"$code\"
",
        accelerators = task.accelerators,
    )
}
