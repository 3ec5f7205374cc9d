//! The CubeCL implementation: products of tiles for a batch, and a kernel at memory
//! speed for a few rows.

mod few_rows;
mod slices;
mod tensor_tiles;
mod tiles;

use burn::tensor::DType;
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::op::{Linear4bitGrad, Linear4bitOp};
use crate::ComputeType;
use crate::blockwise4::Packed4Spec;
use crate::blockwise4::cube::{Format, PackedMatrix};
use crate::cube::buffers::{f32s, output, rows, with_last};
use crate::cube::specimen::{Specimen, Target};
use slices::Side;

/// Most rows of `x` that are multiplied while the weight streams by once.
const FEW_ROWS: usize = 4;

impl Linear4bitOp for CubeBackend {
    fn linear4bit_op(
        x: CubeTensor,
        packed: CubeTensor,
        absmax: CubeTensor,
        absmax_codes: CubeTensor,
        spec: Packed4Spec,
        compute: ComputeType,
    ) -> CubeTensor {
        let (m, inn) = rows(&x);
        assert_eq!(inn, spec.in_features, "linear4bit: last dimension of x against in_features");
        let y = output(&x, with_last(&x, spec.out_features), DType::F32);
        let weight = PackedMatrix::new(packed, absmax, absmax_codes, &spec);
        // Without a whole word per eight columns the rows do not stream.
        if (1..=FEW_ROWS).contains(&m) && inn.is_multiple_of(8) {
            few_rows::launch(&f32s(x), &weight, &y, m, &spec);
        } else {
            multiply(x, &weight, &y, m, &spec, Side::Forward, compute);
        }
        y
    }
}

impl Linear4bitGrad for CubeBackend {
    fn linear4bit_dx(
        dy: CubeTensor,
        packed: CubeTensor,
        absmax: CubeTensor,
        absmax_codes: CubeTensor,
        spec: Packed4Spec,
        compute: ComputeType,
    ) -> CubeTensor {
        let (m, out) = rows(&dy);
        assert_eq!(out, spec.out_features, "linear4bit: last dimension of dy against out_features");
        let dx = output(&dy, with_last(&dy, spec.in_features), DType::F32);
        let weight = PackedMatrix::new(packed, absmax, absmax_codes, &spec);
        multiply(dy, &weight, &dx, m, &spec, Side::Backward, compute);
        dx
    }
}

/// On tensor cores where bf16 is asked for and the device has them.
fn multiply(
    left: CubeTensor,
    weight: &PackedMatrix,
    result: &CubeTensor,
    m: usize,
    spec: &Packed4Spec,
    side: Side,
    compute: ComputeType,
) {
    let left = f32s(left);
    if compute == ComputeType::Bf16 && tensor_tiles::supported(result) {
        tensor_tiles::launch(&left, weight, result, m, spec, side);
    } else {
        tiles::launch(&left, weight, result, m, spec, side, compute);
    }
}

pub(crate) fn specimens() -> Vec<Specimen> {
    [tiles::specimens(), tensor_tiles::specimens(), few_rows::specimens()].into_iter().flatten().collect()
}

/// A product of 512 rows with a weight of 4096×4096, by cubes that make a tile of the result each.
fn batch_specimen(
    name: &'static str,
    (rows, cols): (usize, usize),
    cube_dim: CubeDim,
    compute: ComputeType,
    kernel: fn(&Target) -> Box<dyn CubeKernel>,
) -> Specimen {
    const M: usize = 512;
    const N: usize = 4096;
    Specimen {
        name,
        shape: "512×4096×4096, double quantised",
        cube_dim,
        cubes: N / cols * (M / rows),
        bytes: Format::NF4_NESTED.bytes(N * N) + 2.0 * (M * N) as f64 * 4.0,
        operations: 2.0 * (M * N) as f64 * N as f64,
        tensor_cores: compute == ComputeType::Bf16,
        kernel,
    }
}
