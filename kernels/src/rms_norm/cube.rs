//! The CubeCL implementation: a cube per row; the weight's gradient by groups of rows.

use burn::backend::TensorMetadata;
use burn::backend::ops::FloatTensorOps;
use burn::tensor::{DType, Shape};
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::op::{RmsNormGrad, RmsNormOp};
use crate::cube::buffers::{cubes, f32s, output, rows, scalars, units, vectors};
use crate::cube::reduce::{Units, cube_sum, horizontal_sum};
use crate::cube::specimen::Specimen;

/// Rows whose contributions to the weight's gradient one unit adds up.
const GROUP: usize = 64;

/// `1 / rms` of a row of `vectors` vectors, for every unit of the cube.
#[cube]
fn inverse_rms<N: Size>(
    x: &[Vector<f32, N>],
    first: u32,
    vectors: u32,
    d: f32,
    eps: f32,
    #[comptime] units: Units,
) -> f32 {
    let mut squares = Vector::<f32, N>::new(0.0f32);
    for i in range_stepped(UNIT_POS, vectors, comptime!(units.count as u32)) {
        let value = x[(first + i) as usize];
        squares += value * value;
    }
    1.0f32 / (cube_sum(horizontal_sum(squares), units) / d + eps).sqrt()
}

#[cube(launch_unchecked)]
fn normalise<N: Size>(
    x: &[Vector<f32, N>],
    weight: &[Vector<f32, N>],
    y: &mut [Vector<f32, N>],
    rows: u32,
    vectors: u32,
    d: f32,
    eps: f32,
    #[comptime] units: Units,
) {
    let row = CUBE_POS as u32;
    if row < rows {
        let first = row * vectors;
        let inverse = Vector::<f32, N>::new(inverse_rms(x, first, vectors, d, eps, units));
        for i in range_stepped(UNIT_POS, vectors, comptime!(units.count as u32)) {
            y[(first + i) as usize] = x[(first + i) as usize] * inverse * weight[i as usize];
        }
    }
}

/// With r = 1/rms: `dx = r·(dy·w) − x·r³/d · Σ dy·w·x`.
#[cube(launch_unchecked)]
fn normalise_back<N: Size>(
    dy: &[Vector<f32, N>],
    x: &[Vector<f32, N>],
    weight: &[Vector<f32, N>],
    dx: &mut [Vector<f32, N>],
    rows: u32,
    vectors: u32,
    d: f32,
    eps: f32,
    #[comptime] units: Units,
) {
    let row = CUBE_POS as u32;
    if row < rows {
        let first = row * vectors;
        let inverse = inverse_rms(x, first, vectors, d, eps, units);
        let mut products = Vector::<f32, N>::new(0.0f32);
        for i in range_stepped(UNIT_POS, vectors, comptime!(units.count as u32)) {
            let at = (first + i) as usize;
            products += dy[at] * weight[i as usize] * x[at];
        }
        let sum = cube_sum(horizontal_sum(products), units);
        let along_x = Vector::<f32, N>::new(-sum * inverse * inverse * inverse / d);
        let inverse = Vector::<f32, N>::new(inverse);
        for i in range_stepped(UNIT_POS, vectors, comptime!(units.count as u32)) {
            let at = (first + i) as usize;
            dx[at] = dy[at] * weight[i as usize] * inverse + x[at] * along_x;
        }
    }
}

/// `1 / rms` of every row.
#[cube(launch_unchecked)]
fn inverses<N: Size>(
    x: &[Vector<f32, N>],
    result: &mut [f32],
    rows: u32,
    vectors: u32,
    d: f32,
    eps: f32,
    #[comptime] units: Units,
) {
    let row = CUBE_POS as u32;
    if row < rows {
        let inverse = inverse_rms(x, row * vectors, vectors, d, eps, units);
        if UNIT_POS == 0 {
            result[row as usize] = inverse;
        }
    }
}

/// `Σ dy·x·r` over the rows of a group, one column of vectors per unit.
#[cube(launch_unchecked)]
fn group_sums<N: Size>(
    dy: &[Vector<f32, N>],
    x: &[Vector<f32, N>],
    inverses: &[f32],
    sums: &mut [Vector<f32, N>],
    rows: u32,
    vectors: u32,
    #[comptime] group: usize,
) {
    let column = CUBE_POS_X * CUBE_DIM + UNIT_POS;
    let first = CUBE_POS_Y * comptime!(group as u32);
    if column < vectors {
        let mut sum = Vector::<f32, N>::new(0.0f32);
        let mut end = first + comptime!(group as u32);
        if end > rows {
            end = rows;
        }
        for row in first..end {
            let at = (row * vectors + column) as usize;
            sum += dy[at] * x[at] * Vector::<f32, N>::new(inverses[row as usize]);
        }
        sums[(CUBE_POS_Y * vectors + column) as usize] = sum;
    }
}

/// Values that a load takes: rows must begin with a whole vector.
fn lanes(d: usize) -> usize {
    if d.is_multiple_of(4) { 4 } else { 1 }
}

impl RmsNormOp for CubeBackend {
    fn rms_norm_op(x: CubeTensor, weight: CubeTensor, eps: f32) -> CubeTensor {
        let (n, d) = rows(&x);
        let (x, weight) = (f32s(x), f32s(weight));
        assert_eq!(weight.meta.num_elements(), d, "rms_norm: length of the weight");
        let y = output(&x, x.shape(), DType::F32);
        if n * d == 0 {
            return y;
        }
        let client = &y.client;
        let (lanes, units) = (lanes(d), Units::new(client, 256));
        // SAFETY: `x` and `y` hold `n` rows of `d` values and the weight `d`; a cube beyond the rows
        // neither reads nor writes.
        #[allow(unsafe_code)]
        unsafe {
            normalise::launch_unchecked(
                client,
                cubes(client, n),
                units.dim(),
                lanes,
                vectors(&x, lanes),
                vectors(&weight, lanes),
                vectors(&y, lanes),
                n as u32,
                (d / lanes) as u32,
                d as f32,
                eps,
                units,
            );
        }
        y
    }
}

impl RmsNormGrad for CubeBackend {
    fn rms_norm_dx(dy: CubeTensor, x: CubeTensor, weight: CubeTensor, eps: f32) -> CubeTensor {
        let (n, d) = rows(&x);
        let (dy, x, weight) = (f32s(dy), f32s(x), f32s(weight));
        assert_eq!(dy.shape(), x.shape(), "rms_norm: the shapes of dy and x");
        assert_eq!(weight.meta.num_elements(), d, "rms_norm: length of the weight");
        let dx = output(&x, x.shape(), DType::F32);
        if n * d == 0 {
            return dx;
        }
        let client = &dx.client;
        let (lanes, units) = (lanes(d), Units::new(client, 256));
        // SAFETY: `dy`, `x` and `dx` hold `n` rows of `d` values and the weight `d`; a cube beyond
        // the rows neither reads nor writes.
        #[allow(unsafe_code)]
        unsafe {
            normalise_back::launch_unchecked(
                client,
                cubes(client, n),
                units.dim(),
                lanes,
                vectors(&dy, lanes),
                vectors(&x, lanes),
                vectors(&weight, lanes),
                vectors(&dx, lanes),
                n as u32,
                (d / lanes) as u32,
                d as f32,
                eps,
                units,
            );
        }
        dx
    }

    fn rms_norm_dweight(dy: CubeTensor, x: CubeTensor, eps: f32) -> CubeTensor {
        let (n, d) = rows(&x);
        let (dy, x) = (f32s(dy), f32s(x));
        assert_eq!(dy.shape(), x.shape(), "rms_norm: the shapes of dy and x");
        if d == 0 {
            return output(&x, [d], DType::F32);
        }
        if n == 0 {
            return burn_cubecl::ops::numeric::zeros(x.device.clone(), [d].into(), DType::F32);
        }
        let client = x.client.clone();
        let (lanes, row_units) = (lanes(d), Units::new(&client, 256));
        let per_row = output(&x, [n], DType::F32);
        let groups = n.div_ceil(GROUP);
        let sums = output(&x, [groups, d], DType::F32);
        let column_units = units(&client, 64);
        // SAFETY: `dy` and `x` hold `n` rows of `d` values, `per_row` a value per row and `sums` `d`
        // per group; cubes beyond the rows and units beyond the columns neither read nor write.
        #[allow(unsafe_code)]
        unsafe {
            inverses::launch_unchecked(
                &client,
                cubes(&client, n),
                row_units.dim(),
                lanes,
                vectors(&x, lanes),
                scalars(&per_row),
                n as u32,
                (d / lanes) as u32,
                d as f32,
                eps,
                row_units,
            );
            group_sums::launch_unchecked(
                &client,
                CubeCount::Static((d / lanes).div_ceil(column_units as usize) as u32, groups as u32, 1),
                CubeDim::new_1d(column_units),
                lanes,
                vectors(&dy, lanes),
                vectors(&x, lanes),
                scalars(&per_row),
                vectors(&sums, lanes),
                n as u32,
                (d / lanes) as u32,
                GROUP,
            );
        }
        Self::float_reshape(Self::float_sum_dim(sums, 0), Shape::from([d]))
    }
}

pub(crate) fn specimens() -> Vec<Specimen> {
    const N: usize = 2048;
    const D: usize = 4096;
    const VALUES: f64 = (N * D) as f64;
    let specimen = |name, cubes, cube_dim, bytes, operations, kernel| Specimen {
        name,
        shape: "2048×4096",
        cube_dim,
        cubes,
        bytes,
        operations,
        tensor_cores: false,
        kernel,
    };
    let cube = Units::CUDA.dim();
    vec![
        specimen("rms_norm forward", N, cube, 8.0 * VALUES, 4.0 * VALUES, |t| {
            t.build(|s, d, p, b| {
                normalise::Normalise::new(s, d, p, b(), b(), b(), (), (), (), (), 4, Units::CUDA)
            })
        }),
        specimen("rms_norm input gradient", N, cube, 12.0 * VALUES, 9.0 * VALUES, |t| {
            t.build(|s, d, p, b| {
                normalise_back::NormaliseBack::new(
                    s,
                    d,
                    p,
                    b(),
                    b(),
                    b(),
                    b(),
                    (),
                    (),
                    (),
                    (),
                    4,
                    Units::CUDA,
                )
            })
        }),
        specimen(
            "rms_norm weight gradient",
            D / 4 / 64 * (N / GROUP),
            CubeDim::new_1d(64),
            8.0 * VALUES,
            3.0 * VALUES,
            |t| {
                t.build(|s, d, p, b| {
                    group_sums::GroupSums::new(s, d, p, b(), b(), b(), b(), (), (), 4, GROUP)
                })
            },
        ),
    ]
}
