//! `ptxas`, from the Python package of NVIDIA's compiler, and what it reports.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::workspace;

/// The package that carries `ptxas`: one version, so that figures can be compared.
const PACKAGE: &str = "nvidia-cuda-nvcc==13.5.37";

/// The assembler program.
pub struct Assembler(PathBuf);

/// What the assembler said of one kernel.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Assembled {
    pub registers: u32,
    /// Bytes stored and loaded for lack of registers.
    pub spilled: u32,
    pub static_shared: u32,
}

impl Assembler {
    /// The one that `CAMELID_PTXAS` names, else the package's, installed under `runs/tools` on first use.
    pub fn find() -> anyhow::Result<Self> {
        if let Some(path) = std::env::var_os("CAMELID_PTXAS").map(PathBuf::from) {
            ensure!(path.is_file(), "CAMELID_PTXAS names {}, which is no file", path.display());
            return Ok(Self(path));
        }
        let tools = workspace().join("runs/tools");
        let folder = tools.join(PACKAGE.replace("==", "-"));
        let program = folder.join("nvidia/cu13/bin/ptxas");
        if !program.is_file() {
            install(&tools, &folder)?;
        }
        ensure!(program.is_file(), "{PACKAGE} holds no {}", program.display());
        Ok(Self(program))
    }

    /// Assembles a file for an architecture; the result lies beside it.
    pub fn assemble(&self, source: &Path, architecture: &str) -> anyhow::Result<Assembled> {
        let output = Command::new(&self.0)
            .args(["--verbose", "--gpu-name", architecture, "--output-file"])
            .arg(source.with_extension("cubin"))
            .arg(source)
            .output()
            .with_context(|| format!("cannot run {}", self.0.display()))?;
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "ptxas refuses {}:\n{said}", source.display());
        read(&said).with_context(|| format!("ptxas said of {}:\n{said}", source.display()))
    }
}

fn install(tools: &Path, folder: &Path) -> anyhow::Result<()> {
    println!("Installing {PACKAGE} for its ptxas: 47 MB to download, 150 MB unpacked ...");
    std::fs::create_dir_all(tools).with_context(|| format!("cannot create {}", tools.display()))?;
    let scratch = tempfile::tempdir_in(tools)?;
    let made = scratch.path().join("package");
    let status = Command::new("pip")
        .args(["install", "--quiet", "--no-deps", "--only-binary=:all:", "--target"])
        .arg(&made)
        .arg(PACKAGE)
        .status()
        .with_context(|| {
            format!("cannot run pip to install {PACKAGE}: install pip, or name a ptxas in CAMELID_PTXAS")
        })?;
    ensure!(status.success(), "pip could not install {PACKAGE} ({status}): name a ptxas in CAMELID_PTXAS");
    std::fs::rename(&made, folder).with_context(|| format!("cannot move {PACKAGE} to {}", folder.display()))
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
}
