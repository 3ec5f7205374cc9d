//! What the machine is: processor, memory, disks, drivers of GPUs.

use std::path::{Path, PathBuf};

use camelid_kernels::{Isa, processor_name};
use serde::Serialize;
use sysinfo::{Disks, System};

/// A machine as the system describes it to this process.
#[derive(Serialize)]
pub struct Machine {
    pub system: String,
    pub processor: Processor,
    pub memory: Memory,
    pub disks: Vec<Disk>,
    pub gpus: Vec<Gpu>,
}

#[derive(Serialize)]
pub struct Processor {
    pub name: String,
    pub architecture: &'static str,
    /// Cores that this process may use.
    pub cores: usize,
    /// Those that kernels are written for and this processor has, narrowest first.
    pub instruction_sets: Vec<&'static str>,
    /// The one that kernels run on: the widest, unless `CAMELID_ISA` names another.
    pub used: &'static str,
}

/// Bytes, of the container where there is one.
#[derive(Serialize)]
pub struct Memory {
    pub total: u64,
    pub available: u64,
}

#[derive(Serialize)]
pub struct Disk {
    /// What is kept there.
    pub of: &'static str,
    pub path: PathBuf,
    /// Bytes; `None` where the system names no disk for it.
    pub free: Option<u64>,
    pub writable: bool,
}

/// A driver that was found, whether or not this build can use it.
#[derive(Serialize)]
pub struct Gpu {
    pub driver: &'static str,
    pub found: String,
}

impl Machine {
    pub fn here() -> Self {
        let name = System::long_os_version().unwrap_or_else(|| std::env::consts::OS.to_owned());
        Self {
            system: format!("{name}, {}", System::kernel_long_version()),
            processor: processor(),
            memory: memory(),
            disks: disks(),
            gpus: gpus(),
        }
    }
}

fn processor() -> Processor {
    Processor {
        name: processor_name(),
        architecture: std::env::consts::ARCH,
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        instruction_sets: Isa::available().map(Isa::name).collect(),
        used: Isa::active().name(),
    }
}

fn memory() -> Memory {
    let mut system = System::new();
    system.refresh_memory();
    let (total, available) = (system.total_memory(), system.available_memory());
    match system.cgroup_limits() {
        Some(limits) if limits.total_memory > 0 && limits.total_memory < total => {
            Memory { total: limits.total_memory, available: available.min(limits.free_memory) }
        }
        _ => Memory { total, available },
    }
}

fn disks() -> Vec<Disk> {
    let listed = Disks::new_with_refreshed_list();
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    let places = [("runs", Some(here)), ("cache", camelid_files::cache_dir())];
    let disk = |(of, path): (&'static str, Option<PathBuf>)| {
        let path = path?;
        let there = existing(&path);
        let whole = there.canonicalize().unwrap_or_else(|_| there.to_owned());
        // Of nested mounts the innermost holds the path.
        let mounts = listed.list().iter().filter(|disk| whole.starts_with(disk.mount_point()));
        let mount = mounts.max_by_key(|disk| disk.mount_point().components().count());
        let writable = tempfile::Builder::new().prefix(".camelid-").tempfile_in(there).is_ok();
        Some(Disk { of, free: mount.map(sysinfo::Disk::available_space), writable, path })
    };
    places.into_iter().filter_map(disk).collect()
}

/// The nearest folder above that is there: a cache is made when it is first needed.
fn existing(path: &Path) -> &Path {
    path.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/"))
}

/// Drivers by what they leave in the file system: nothing is loaded and no program run.
fn gpus() -> Vec<Gpu> {
    let mut found = Vec::new();
    if let Ok(version) = std::fs::read_to_string("/proc/driver/nvidia/version") {
        let line = version.lines().next().unwrap_or_default();
        found.push(Gpu {
            driver: "NVIDIA",
            found: line.trim_start_matches("NVRM version:").trim().to_owned(),
        });
    }
    if Path::new("/dev/kfd").exists() {
        found.push(Gpu { driver: "ROCm", found: "/dev/kfd".to_owned() });
    }
    for folder in ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"] {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name.ends_with(".json"))
            .collect();
        names.sort();
        if !names.is_empty() {
            found.push(Gpu { driver: "Vulkan", found: format!("{folder}: {}", names.join(", ")) });
        }
    }
    if cfg!(target_os = "macos") {
        found.push(Gpu { driver: "Metal", found: "with the system".to_owned() });
    }
    found
}
