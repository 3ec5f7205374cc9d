//! The parts of the CUDA toolkit that need no GPU: `ptxas` and what it reports, and the library of
//! mathematical functions that the compiler links into kernels.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::workspace;

/// The packages that carry them: one version, so that figures can be compared.
const PACKAGES: [&str; 2] = ["nvidia-cuda-nvcc==13.5.37", "nvidia-nvvm==13.5.37"];

/// The environment variable that names a toolkit, for CubeCL as for us.
pub const CUDA_PATH: &str = "CUDA_PATH";

/// A folder with `bin/ptxas` and `nvvm/libdevice/libdevice.10.bc`.
pub struct Toolkit(PathBuf);

/// What the assembler said of one kernel.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Assembled {
    pub registers: u32,
    /// Bytes stored and loaded for lack of registers.
    pub spilled: u32,
    pub static_shared: u32,
}

impl Toolkit {
    /// The one that `CUDA_PATH` names, else the packages', installed under `runs/tools` on first use.
    pub fn find() -> anyhow::Result<Self> {
        let named = std::env::var_os(CUDA_PATH).map(PathBuf::from);
        let folder = match &named {
            Some(folder) => folder.clone(),
            None => {
                let made = workspace().join("runs/tools").join(PACKAGES.join("-").replace("==", "-"));
                if !made.is_dir() {
                    install(&made)?;
                }
                made.join("nvidia/cu13")
            }
        };
        let whose = if named.is_some() { CUDA_PATH.to_owned() } else { PACKAGES.join(" and ") };
        for part in ["bin/ptxas", "nvvm/libdevice/libdevice.10.bc"] {
            ensure!(folder.join(part).is_file(), "{whose}: {} has no {part}", folder.display());
        }
        Ok(Self(folder))
    }

    /// Where it is, for `CUDA_PATH` of the compiler.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Assembles a file for the architecture that it names; the result lies beside it.
    pub fn assemble(&self, source: &Path) -> anyhow::Result<Assembled> {
        let ptxas = self.0.join("bin/ptxas");
        let text =
            std::fs::read_to_string(source).with_context(|| format!("cannot read {}", source.display()))?;
        // CubeCL's compiler writes `sm_90a` where `sm_90` is asked for, and ptxas wants the very word.
        let architecture = target(&text).with_context(|| format!("{}: no .target line", source.display()))?;
        let output = Command::new(&ptxas)
            .args(["--verbose", "--gpu-name", architecture, "--output-file"])
            .arg(source.with_extension("cubin"))
            .arg(source)
            .output()
            .with_context(|| format!("cannot run {}", ptxas.display()))?;
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "ptxas refuses {}:\n{said}", source.display());
        read(&said).with_context(|| format!("ptxas said of {}:\n{said}", source.display()))
    }
}

fn install(folder: &Path) -> anyhow::Result<()> {
    let packages = PACKAGES.join(" and ");
    println!("Installing {packages}, for ptxas and libdevice: 122 MB to download ...");
    let tools = folder.parent().context("the folder has a parent")?;
    std::fs::create_dir_all(tools).with_context(|| format!("cannot create {}", tools.display()))?;
    let scratch = tempfile::tempdir_in(tools)?;
    let made = scratch.path().join("packages");
    let status = Command::new("pip")
        .args(["install", "--quiet", "--no-deps", "--only-binary=:all:", "--target"])
        .arg(&made)
        .args(PACKAGES)
        .status()
        .with_context(|| {
            format!(
                "cannot run pip to install {packages}: install pip, or name a CUDA toolkit in {CUDA_PATH}"
            )
        })?;
    ensure!(status.success(), "pip could not install {packages} ({status}): name a toolkit in {CUDA_PATH}");
    std::fs::rename(&made, folder).with_context(|| format!("cannot move {packages} to {}", folder.display()))
}

/// The architecture of a PTX file.
fn target(ptx: &str) -> Option<&str> {
    let line = ptx.lines().find_map(|line| line.trim().strip_prefix(".target "))?;
    line.split(',').next().map(str::trim)
}

/// Reads the lines of `ptxas --verbose`; `None` where they name no registers.
fn read(said: &str) -> Option<Assembled> {
    let before = |what: &str| -> Option<u32> {
        let at = said.find(what)?;
        said[..at].split_whitespace().last()?.parse().ok()
    };
    Some(Assembled {
        registers: before(" registers")?,
        spilled: before(" bytes spill stores").unwrap_or(0) + before(" bytes spill loads").unwrap_or(0),
        static_shared: before(" bytes smem").unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verbose_lines_are_read() {
        let said = "ptxas info    : 0 bytes gmem\n\
                    ptxas info    : Function properties for tiles\n    \
                    24 bytes stack frame, 16 bytes spill stores, 20 bytes spill loads\n\
                    ptxas info    : Used 40 registers, used 1 barriers, 512 bytes smem, 424 bytes cmem[0]\n";
        assert_eq!(read(said), Some(Assembled { registers: 40, spilled: 36, static_shared: 512 }));
        assert_eq!(read("Used 8 registers, 360 bytes cmem[0]").unwrap().registers, 8);
        assert_eq!(read("nothing"), None);
    }

    #[test]
    fn a_file_names_its_architecture() {
        assert_eq!(target("//\n.version 8.7\n.target sm_90a\n.address_size 64\n"), Some("sm_90a"));
        assert_eq!(target(".target sm_80, debug\n"), Some("sm_80"));
        assert_eq!(target(".version 8.7\n"), None);
    }
}
