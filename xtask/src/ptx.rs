//! `cargo xtask ptx`: every CubeCL kernel compiled for CUDA and weighed, without a GPU.

mod assembler;
mod occupancy;
mod roofline;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

use crate::cargo::cargo;
use crate::{setup_llvm, workspace};
use assembler::{Assembled, CUDA_PATH, Toolkit};
use occupancy::Multiprocessor;

/// The table's place in `kernels/README.md`.
const MARKERS: (&str, &str) = ("<!-- ptx:begin -->", "<!-- ptx:end -->");

/// Options of the command.
#[derive(clap::Args)]
pub struct Arguments {
    /// Architectures to compile for
    #[arg(long, value_delimiter = ',', default_values = ["sm_80", "sm_90"])]
    arch: Vec<String>,
    /// Put the tables into kernels/README.md
    #[arg(long)]
    write: bool,
}

/// One kernel compiled for one architecture, as the `ptx` program of `camelid-gpu` prints it.
#[derive(Debug, Clone, PartialEq)]
struct Kernel {
    name: String,
    shape: String,
    stem: String,
    architecture: String,
    threads: u32,
    blocks: u64,
    bytes: f64,
    operations: f64,
    tensor_cores: bool,
    dynamic_shared: u32,
}

/// Compiles, assembles and prints.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    for architecture in &arguments.arch {
        Multiprocessor::of(architecture)?;
    }
    setup_llvm::require()?;
    let folder = workspace().join("runs/ptx");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let toolkit = Toolkit::find()?;
    let kernels = compile(&folder, &arguments.arch, &toolkit)?;
    let assembled = kernels
        .iter()
        .map(|kernel| {
            let source = folder.join(format!("{}.{}.ptx", kernel.stem, kernel.architecture));
            toolkit.assemble(&source)
        })
        .collect::<anyhow::Result<Vec<Assembled>>>()?;
    let tables = format!("{}\n{}", resources(&kernels, &assembled)?, roofline::table(&kernels));
    println!("{tables}");
    println!("PTX, CUDA C++ and assembled kernels: {}", folder.display());
    if arguments.write {
        let readme = workspace().join("kernels/README.md");
        write_between(&readme, &tables)?;
        println!("The tables are in {}", readme.display());
    }
    Ok(())
}

/// Runs `camelid-gpu`'s `ptx`, built with LLVM, as a child: this program links none.
fn compile(folder: &Path, architectures: &[String], toolkit: &Toolkit) -> anyhow::Result<Vec<Kernel>> {
    let output = Command::new(build()?)
        .arg(folder)
        .args(architectures)
        .env(CUDA_PATH, toolkit.folder())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run the program that compiles the kernels")?;
    ensure!(output.status.success(), "compiling the kernels failed ({})", output.status);
    String::from_utf8_lossy(&output.stdout).lines().map(parse).collect()
}

/// Builds `camelid-gpu`'s program, and says where it is. Cargo must not see `CUDA_PATH`: build
/// scripts ask for it, and all that depends on them would be built again.
fn build() -> anyhow::Result<PathBuf> {
    // The features of the tests on the CPU runtime, so that both share one build.
    let output = cargo()
        .args(["build", "--quiet", "--package", "camelid-gpu", "--features", "cube-cpu,cuda"])
        .args(["--bin", "ptx", "--message-format", "json-render-diagnostics"])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    ensure!(output.status.success(), "building camelid-gpu failed ({})", output.status);
    let messages = String::from_utf8_lossy(&output.stdout);
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .context("cargo did not say where it put camelid-gpu's program")
}

fn parse(line: &str) -> anyhow::Result<Kernel> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [name, shape, stem, architecture, threads, blocks, bytes, operations, tensor, shared] = fields[..]
    else {
        bail!("expected ten fields between tabs, found `{line}`");
    };
    Ok(Kernel {
        name: name.to_owned(),
        shape: shape.to_owned(),
        stem: stem.to_owned(),
        architecture: architecture.to_owned(),
        threads: threads.parse()?,
        blocks: blocks.parse()?,
        bytes: bytes.parse()?,
        operations: operations.parse()?,
        tensor_cores: tensor == "1",
        dynamic_shared: shared.parse()?,
    })
}

/// Registers, spills, shared memory and occupancy.
fn resources(kernels: &[Kernel], assembled: &[Assembled]) -> anyhow::Result<String> {
    let mut table = String::from(
        "| kernel | architecture | threads | registers | spilled bytes | shared bytes | blocks per SM | occupancy |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for (kernel, found) in kernels.iter().zip(assembled) {
        let shared = found.static_shared + kernel.dynamic_shared;
        let limits = Multiprocessor::of(&kernel.architecture)?;
        let blocks = limits.blocks(kernel.threads, found.registers, shared);
        let occupancy = limits.occupancy(kernel.threads, blocks);
        table += &format!(
            "| {} | {} | {} | {} | {} | {shared} | {blocks} | {:.0} % |\n",
            kernel.name,
            kernel.architecture,
            kernel.threads,
            found.registers,
            found.spilled,
            100.0 * occupancy
        );
    }
    Ok(table)
}

/// Replaces what lies between the markers.
fn write_between(readme: &PathBuf, tables: &str) -> anyhow::Result<()> {
    let text =
        std::fs::read_to_string(readme).with_context(|| format!("cannot read {}", readme.display()))?;
    let (Some(begin), Some(end)) = (text.find(MARKERS.0), text.find(MARKERS.1)) else {
        bail!("{} has no {} and {}", readme.display(), MARKERS.0, MARKERS.1);
    };
    let before = &text[..begin + MARKERS.0.len()];
    let new = format!("{before}\n{}\n{}", tables.trim_end(), &text[end..]);
    std::fs::write(readme, new).with_context(|| format!("cannot write {}", readme.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_child_is_read() {
        let line = "nf4 forward\t512×64\tnf4_forward\tsm_80\t256\t64\t1e6\t2e9\t0\t16384";
        let kernel = parse(line).unwrap();
        assert_eq!(
            (kernel.name.as_str(), kernel.threads, kernel.dynamic_shared),
            ("nf4 forward", 256, 16384)
        );
        assert!(parse("two\tfields").is_err());
    }

    #[test]
    fn only_what_lies_between_the_markers_is_replaced() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_path_buf();
        std::fs::write(&path, format!("a\n{}\nold\n{}\nb\n", MARKERS.0, MARKERS.1)).unwrap();
        for _ in 0..2 {
            write_between(&path, "| new |\n").unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            assert_eq!(text, format!("a\n{}\n| new |\n{}\nb\n", MARKERS.0, MARKERS.1));
        }
        std::fs::write(&path, "no markers").unwrap();
        assert!(write_between(&path, "x").is_err());
    }
}
