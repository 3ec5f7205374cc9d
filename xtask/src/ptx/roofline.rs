//! The roofline on paper: what bounds each kernel on two GPUs.

use super::Kernel;

/// A GPU's peaks, as its maker states them.
struct Gpu {
    name: &'static str,
    /// Bytes per second.
    memory: f64,
    /// f32 operations per second.
    plain: f64,
    /// bf16 operations per second of the tensor cores, dense.
    tensor: f64,
}

const GPUS: [Gpu; 2] = [
    Gpu { name: "A100 80 GB", memory: 2_039e9, plain: 19.5e12, tensor: 312e12 },
    Gpu { name: "H100 SXM", memory: 3_350e9, plain: 67e12, tensor: 989e12 },
];

/// One row per kernel: its work, and for each GPU what bounds it and the least time.
pub fn table(kernels: &[Kernel]) -> String {
    let mut table = String::from("| kernel | shape | bytes | operations | operations per byte |");
    table += &GPUS.map(|gpu| format!(" {} |", gpu.name)).concat();
    table += "\n|---|---|---|---|---|---|---|\n";
    let Some(first) = kernels.first() else { return table };
    for kernel in kernels.iter().filter(|kernel| kernel.architecture == first.architecture) {
        table += &format!(
            "| {} | {} | {} | {} | {:.2} |",
            kernel.name,
            kernel.shape,
            scaled(kernel.bytes, "B"),
            scaled(kernel.operations, ""),
            kernel.operations / kernel.bytes
        );
        for gpu in &GPUS {
            let (bound, seconds) = bound(kernel, gpu);
            table += &format!(" {bound}, {:.1} µs |", seconds * 1e6);
        }
        table += "\n";
    }
    table
}

/// Which of memory and arithmetic takes longer at its peak, and how long.
fn bound(kernel: &Kernel, gpu: &Gpu) -> (&'static str, f64) {
    let memory = kernel.bytes / gpu.memory;
    let arithmetic = kernel.operations / if kernel.tensor_cores { gpu.tensor } else { gpu.plain };
    if memory >= arithmetic { ("memory", memory) } else { ("arithmetic", arithmetic) }
}

fn scaled(value: f64, unit: &str) -> String {
    let (value, prefix) = match value {
        v if v >= 1e9 => (v / 1e9, "G"),
        v if v >= 1e6 => (v / 1e6, "M"),
        v => (v / 1e3, "k"),
    };
    format!("{value:.2} {prefix}{unit}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(bytes: f64, operations: f64, tensor_cores: bool) -> Kernel {
        Kernel {
            name: "k".into(),
            shape: "s".into(),
            stem: "k".into(),
            architecture: "sm_80".into(),
            threads: 256,
            blocks: 1,
            bytes,
            operations,
            tensor_cores,
            dynamic_shared: 0,
        }
    }

    #[test]
    fn the_slower_of_memory_and_arithmetic_bounds() {
        let a100 = &GPUS[0];
        assert_eq!(bound(&kernel(2_039e6, 1e6, false), a100), ("memory", 1e-3));
        assert_eq!(bound(&kernel(1.0, 19.5e9, false), a100), ("arithmetic", 1e-3));
        assert_eq!(bound(&kernel(1.0, 312e9, true), a100), ("arithmetic", 1e-3));
    }

    #[test]
    fn each_kernel_has_one_row_whatever_the_architectures() {
        let other = Kernel { architecture: "sm_90".into(), ..kernel(1e6, 1e6, false) };
        let table = table(&[kernel(1e6, 1e6, false), other]);
        assert_eq!(table.lines().count(), 3, "{table}");
        assert!(table.contains("| 1.00 MB | 1.00 M | 1.00 |"), "{table}");
    }
}
