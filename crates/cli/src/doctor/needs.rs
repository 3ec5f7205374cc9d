//! What parts of Camelid need beyond the program itself.

use std::path::PathBuf;

use camelid_kernels::DeviceName;
use camelid_sandbox::Sandbox;
use serde::Serialize;

use super::machine::Gpu;

/// Something that a part of Camelid needs.
#[derive(Serialize)]
pub struct Need {
    pub what: &'static str,
    /// What is needed for it.
    pub purpose: &'static str,
    /// What was found, or that nothing was.
    pub found: String,
    /// How to have it, where it is missing.
    pub command: Option<String>,
}

/// All of them; the drivers are those that were found.
pub fn all(gpus: &[Gpu]) -> Vec<Need> {
    let mut needs = vec![sandbox()];
    needs.extend(programs());
    needs.push(llvm());
    needs.extend(features(gpus));
    needs
}

fn sandbox() -> Need {
    let grants = Sandbox::probe();
    let refused: Vec<String> = grants.refusals.iter().map(ToString::to_string).collect();
    let complete = grants.complete();
    Need {
        what: "sandbox",
        purpose: "eval tasks humaneval, mbpp",
        found: if complete { "everything granted".to_owned() } else { format!("refused: {}", refused.join("; ")) },
        command: (!complete).then(|| {
            "on Linux allow user namespaces: sysctl kernel.unprivileged_userns_clone=1, or run with the rights to \
             unshare"
                .to_owned()
        }),
    }
}

/// Programs that are called by name.
fn programs() -> Vec<Need> {
    let install = |package: &str| match std::env::consts::OS {
        "macos" => "xcode-select --install".to_owned(),
        _ => format!("apt-get install {package}, or your system's package of that name"),
    };
    [
        ("cc", "building from source", install("gcc libc6-dev")),
        ("c++", "cargo features cube-cpu, cuda", install("g++")),
        ("cargo", "building from source, cargo xtask", "install Rust 1.95 with rustup".to_owned()),
        (
            "python3",
            "benches beside Python's libraries; humaneval, mbpp, `cargo xtask reproduce wizardcoder`",
            install("python3"),
        ),
    ]
    .into_iter()
    .map(|(what, purpose, command)| {
        let found = on_path(what);
        let command = found.is_none().then_some(command);
        let found = found.map_or_else(|| "not found".to_owned(), |path| path.display().to_string());
        Need { what, purpose, found, command }
    })
    .collect()
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let name = format!("{program}{}", std::env::consts::EXE_SUFFIX);
    std::env::split_paths(&path).map(|folder| folder.join(&name)).find(|file| file.is_file())
}

/// Where CubeCL's build looks for LLVM, in a folder that bears its version.
fn llvm() -> Need {
    let folder = data_dir().map(|data| data.join("tracel"));
    let installed =
        folder.iter().flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten());
    let ready =
        installed.map(|entry| entry.path()).find(|path| path.join(".tracel-llvm-installed").is_file());
    Need {
        what: "LLVM 23",
        purpose: "building with cargo features cube-cpu, cuda",
        command: ready.is_none().then(|| "cargo xtask setup-llvm (92 MB)".to_owned()),
        found: ready.map_or_else(|| "not found".to_owned(), |path| path.display().to_string()),
    }
}

/// The user's local data directory, by each system's convention.
fn data_dir() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    match std::env::consts::OS {
        "windows" => folder("LOCALAPPDATA"),
        "macos" => folder("HOME").map(|home| home.join("Library/Application Support")),
        _ => folder("XDG_DATA_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/share"))),
    }
}

/// Devices that are compiled in or not, each with the driver that it needs.
fn features(gpus: &[Gpu]) -> Vec<Need> {
    let build = |feature: &str| format!("cargo build -p camelid --features camelid-kernels/{feature}");
    let has = |driver: &str| gpus.iter().any(|gpu| gpu.driver == driver);
    [
        ("device cpu", "cube-cpu", DeviceName::Cpu, true),
        ("device cuda", "cuda", DeviceName::Cuda(0), has("NVIDIA")),
        ("device vulkan", "vulkan", DeviceName::Vulkan, has("Vulkan")),
    ]
    .into_iter()
    .map(|(what, feature, name, driver)| {
        let built = name.is_built();
        let driven = if driver { "" } else { ", no driver seen" };
        Need {
            what,
            purpose: "--device",
            found: format!("{}{driven}", if built { "compiled in" } else { "not compiled in" }),
            command: (!built).then(|| build(feature)),
        }
    })
    .collect()
}
