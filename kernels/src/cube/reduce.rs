//! Sums and maxima over the units of a cube, in a fixed order.

#![allow(clippy::manual_is_multiple_of)] // kernels have no such method

use cubecl::client::Client;
use cubecl::ir::features::Plane;
use cubecl::prelude::*;

/// The units of a cube that add up together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Units {
    pub count: usize,
    /// Units of a plane, a divisor of `count`; 1 where planes cannot add.
    pub plane: usize,
}

impl Units {
    /// What the specimens are built for: 256 units in planes of 32.
    pub const CUDA: Self = Self { count: 256, plane: 32 };

    /// At most `wanted` units of a device.
    pub fn new(client: &Client, wanted: u32) -> Self {
        let count = super::buffers::units(client, wanted) as usize;
        let properties = client.properties();
        let plane = properties.hardware.plane_size_max as usize;
        let adds = properties.hardware.plane_size_min as usize == plane
            && properties.features.plane.contains(Plane::Ops)
            && plane > 0
            && count.is_multiple_of(plane);
        Self { count, plane: if adds { plane } else { 1 } }
    }

    pub fn dim(self) -> CubeDim {
        CubeDim::new_1d(self.count as u32)
    }

    fn planes(self) -> usize {
        self.count / self.plane
    }
}

/// The sum of the units' values, the same for each of them. All units of the cube call it.
#[cube]
pub(crate) fn cube_sum(value: f32, #[comptime] units: Units) -> f32 {
    let mut partial = Shared::<[f32]>::new_slice(comptime!(units.planes()));
    let plane = comptime!(units.plane as u32);
    let mut whole = value;
    if comptime!(units.plane > 1) {
        whole = plane_sum(value);
    }
    // A call before this one may still be read.
    sync_cube();
    if UNIT_POS % plane == 0 {
        partial[(UNIT_POS / plane) as usize] = whole;
    }
    sync_cube();
    let mut sum = 0.0f32;
    for i in 0..comptime!(units.planes()) {
        sum += partial[i];
    }
    sum
}

/// The largest of the units' values, likewise.
#[cube]
pub(crate) fn cube_max(value: f32, #[comptime] units: Units) -> f32 {
    let mut partial = Shared::<[f32]>::new_slice(comptime!(units.planes()));
    let plane = comptime!(units.plane as u32);
    let mut whole = value;
    if comptime!(units.plane > 1) {
        whole = plane_max(value);
    }
    sync_cube();
    if UNIT_POS % plane == 0 {
        partial[(UNIT_POS / plane) as usize] = whole;
    }
    sync_cube();
    let mut largest = partial[0usize];
    for i in 1..comptime!(units.planes()) {
        largest = select(partial[i] > largest, partial[i], largest);
    }
    largest
}

/// The sum of a vector's values.
#[cube]
pub(crate) fn horizontal_sum<N: Size>(values: Vector<f32, N>) -> f32 {
    let lanes = N::value().comptime();
    let mut sum = values.extract(0usize);
    #[unroll]
    for i in 1..lanes {
        sum += values.extract(i);
    }
    sum
}
