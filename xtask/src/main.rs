//! Camelid's front door: `cargo xtask reproduce guanaco`, and the tasks around the GPU kernels.

mod api;
mod bench;
mod cargo;
mod gpu_check;
mod notebooks;
mod ptx;
mod reproduce;
mod setup_llvm;
mod workspace;

use std::process::ExitCode;

use camelid_files::program;
use camelid_kernels::Isa;
use clap::{Parser, Subcommand};
use workspace::workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Run the open-model recipes of 2023 again", version)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// List the public API of every library in docs/api, or compare it with what is listed there
    Api(api::Arguments),
    /// Measure the kernels and whole steps, alone or beside the Python peers
    Bench(bench::Arguments),
    /// Run the notebooks and write their outputs, or compare them with the committed ones
    Notebooks(notebooks::Arguments),
    /// Run a paper's recipe and report claim by claim whether it held
    Reproduce(reproduce::Arguments),
    /// Compile every GPU kernel without a GPU: registers, spills, occupancy, roofline
    Ptx(ptx::Arguments),
    /// Prepare the LLVM that the CubeCL features link
    SetupLlvm(setup_llvm::Arguments),
    /// Run kernel tests, the nano reproduction and benches on this machine's GPU (exit code 3: there is none)
    GpuCheck(gpu_check::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    program::run(|| run(arguments.task))
}

fn run(task: Task) -> anyhow::Result<ExitCode> {
    Isa::from_environment()?;
    match task {
        Task::Api(arguments) => api::run(&arguments).map(|()| ExitCode::SUCCESS),
        Task::Bench(arguments) => bench::run(&arguments).map(|()| ExitCode::SUCCESS),
        Task::Notebooks(arguments) => notebooks::run(&arguments).map(|()| ExitCode::SUCCESS),
        Task::Reproduce(arguments) => reproduce::run(&arguments).map(|ending| match ending {
            reproduce::Ending::Finished => ExitCode::SUCCESS,
            reproduce::Ending::Interrupted => ExitCode::from(130),
        }),
        Task::Ptx(arguments) => ptx::run(&arguments).map(|()| ExitCode::SUCCESS),
        Task::SetupLlvm(arguments) => setup_llvm::run(&arguments).map(|()| ExitCode::SUCCESS),
        Task::GpuCheck(arguments) => gpu_check::run(&arguments),
    }
}

#[cfg(test)]
mod tests {
    use camelid_tests::pages;

    use super::*;

    #[test]
    fn every_task_that_the_pages_name_is_one() {
        let mut tried = 0;
        for page in pages::pages() {
            let text = std::fs::read_to_string(&page).unwrap();
            for words in pages::commands(&text) {
                let [cargo, xtask, rest @ ..] = words.as_slice() else { continue };
                if cargo != "cargo" || xtask != "xtask" {
                    continue;
                }
                tried += 1;
                let line = std::iter::once("cargo xtask").chain(rest.iter().map(String::as_str));
                if let Err(error) = Arguments::try_parse_from(line) {
                    assert!(!error.use_stderr(), "{}: `{}`:\n{error}", page.display(), words.join(" "));
                }
            }
        }
        assert!(tried > 10, "{tried}");
    }
}
