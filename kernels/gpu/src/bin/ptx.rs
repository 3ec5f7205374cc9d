//! Compiles every CubeCL kernel to PTX and to CUDA C++ where there is neither a driver
//! nor a device; `cargo xtask ptx` runs it, assembles what it wrote and weighs it.
//!
//! `ptx FOLDER ARCH...` (such as `sm_80`) writes `FOLDER/<kernel>.<arch>.ptx` and `.cu`, and
//! prints one line per kernel and architecture, of fields between tabs: name, shape, file
//! stem, architecture, threads of a block, blocks, bytes, operations, `1` when the operations
//! run on tensor cores, bytes of dynamic shared memory.

use std::ffi::CStr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use camelid_kernels::cube::specimen::{Specimen, Target};
use camelid_kernels::cube::specimens;
use cubecl::Compiler;
use cubecl::cuda::compiler::CudaBackend;
use cubecl::cuda::{CudaCompilationOptions, CudaCompiler, CudaRepresentation};
use cubecl::ir::features::{Features, MmaConfig, Plane};
use cubecl::ir::nvidia::SmArch;
use cubecl::ir::{DeviceIdentity, HardwareProperties, MemoryDeviceProperties};
use cubecl::prelude::*;
use cubecl_llvm::nvptx::ptx_version::PtxVersion;
use half::{bf16, f16};

/// The driver whose PTX version is emitted: CUDA 12.8.
const DRIVER: i32 = 12_080;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((folder, architectures)) = arguments.split_first().filter(|(_, rest)| !rest.is_empty()) else {
        eprintln!("usage: ptx FOLDER ARCH...");
        return ExitCode::from(2);
    };
    for architecture in architectures {
        let Some(number) = architecture.strip_prefix("sm_").and_then(|number| number.parse().ok()) else {
            eprintln!("`{architecture}` is not an architecture such as sm_80");
            return ExitCode::from(2);
        };
        for specimen in specimens() {
            if let Err(error) = emit(Path::new(folder), &specimen, architecture, number) {
                eprintln!("{} for {architecture}: {error}", specimen.name);
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn emit(folder: &Path, specimen: &Specimen, architecture: &str, number: u32) -> Result<(), String> {
    let stem: String =
        specimen.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let target = Target { cube_dim: specimen.cube_dim, device: device() };
    let compile = |backend: CudaBackend| {
        CudaCompiler::new(backend)
            .compile((specimen.kernel)(&target).define(), &options(number))
            .map_err(|error| format!("{error:?}"))
    };
    let write = |extension: &str, text: &str| {
        let path = folder.join(format!("{stem}.{architecture}.{extension}"));
        std::fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
    };
    let compiled = compile(CudaBackend::Llvm)?;
    let shared = compiled.shared_memory_size();
    let CudaRepresentation::Llvm(module) = compiled else { return Err("not PTX".into()) };
    let bytes: Vec<u8> = module.ptx.iter().map(|&byte| byte as u8).collect();
    let text = CStr::from_bytes_until_nul(&bytes)
        .map_or_else(|_| String::from_utf8_lossy(&bytes).into_owned(), |c| c.to_string_lossy().into_owned());
    write("ptx", &text)?;
    if let CudaRepresentation::Cpp(kernel) = compile(CudaBackend::Cpp)? {
        write("cu", &kernel.source)?;
    }
    let Specimen { name, shape, cubes, bytes, operations, tensor_cores, .. } = specimen;
    let threads = specimen.cube_dim.num_elems();
    println!(
        "{name}\t{shape}\t{stem}\t{architecture}\t{threads}\t{cubes}\t{bytes}\t{operations}\t{}\t{shared}",
        u8::from(*tensor_cores)
    );
    Ok(())
}

/// What the runtime sets from a device of compute capability 7.0 or newer.
fn options(number: u32) -> CudaCompilationOptions {
    let mut options = CudaCompilationOptions {
        arch: Some(SmArch::new(number, true)),
        ptx_version: PtxVersion::for_driver(DRIVER),
        ..Default::default()
    };
    options.cpp.supports_features.grid_constants = true;
    options.cpp.supports_features.fast_math = true;
    options
}

/// The properties of an NVIDIA device, as far as a kernel's expansion asks for them.
fn device() -> Arc<DeviceProperties> {
    let hardware = HardwareProperties {
        load_width: 128,
        vector_register_count: None,
        plane_size_min: 32,
        plane_size_max: 32,
        max_bindings: 32,
        max_shared_memory_size: 100 * 1024,
        max_cube_count: (u32::MAX, 65_535, 65_535),
        max_units_per_cube: 1024,
        max_cube_dim: (1024, 1024, 64),
        num_streaming_multiprocessors: None,
        num_tensor_cores: None,
        min_tensor_cores_dim: Some(8),
        num_cpu_cores: None,
        last_level_cache_size: None,
        max_vector_size: VectorSize::MAX,
        cube_mma_reserved_shared_memory: 0,
    };
    let mut features = Features::default();
    features.plane.insert(Plane::Ops);
    features.plane.insert(Plane::Sync);
    for input in [bf16::cube_type(), f16::cube_type()] {
        features.matmul.cmma.insert(MmaConfig {
            a_type: input,
            b_type: input,
            cd_type: f32::cube_type(),
            m: 16,
            n: 16,
            k: 16,
        });
    }
    let name = || "made by hand".to_owned();
    Arc::new(DeviceProperties::new(
        features,
        MemoryDeviceProperties::new(u64::MAX, 512),
        hardware,
        cubecl::profile::TimingMethod::Device,
        DeviceIdentity { name: name(), fingerprint: name(), physical: None },
    ))
}
