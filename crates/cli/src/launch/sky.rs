//! A SkyPilot task (its YAML reference, 0.14).

use serde_json::json;

use super::{INTERRUPTED, Task};

/// The task. Values are written as JSON, which is YAML; scripts as blocks, each line indented.
pub fn text(task: &Task) -> String {
    let quoted = |text: &str| json!(text).to_string();
    let block = |lines: &[String]| lines.iter().map(|line| format!("  {line}\n")).collect::<String>();
    let setup: Vec<String> = ["set -e"].into_iter().chain(task.setup()).map(str::to_owned).collect();
    let mut run: Vec<String> =
        ["cd ~/sky_workdir", "RUNS=/bucket/runs", "DATA=/bucket"].map(str::to_owned).into();
    run.extend(task.train());
    format!(
        "# {name}: `sky jobs launch` this file from the checkout. Data lie in the bucket under the paths that
# the experiment names, checkpoints under runs/. About {hours:.0} hours on one device.
name: {quoted_name}
workdir: .
num_nodes: 1
resources:
  accelerators: {accelerators}
  disk_size: 512
  use_spot: {spot}
  job_recovery:
    max_restarts_on_errors: 3
    # Interrupted, and everything so far is saved.
    recover_on_exit_codes: [{INTERRUPTED}]
file_mounts:
  /bucket:
    name: {bucket}
    mode: MOUNT
setup: |
{setup}run: |
{run}",
        name = task.experiment.name,
        hours = task.hours,
        quoted_name = quoted(&task.experiment.name),
        accelerators = quoted(&task.accelerators),
        spot = task.spot,
        bucket = quoted(task.bucket),
        setup = block(&setup),
        run = block(&run),
    )
}
