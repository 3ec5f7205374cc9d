//! The dynamic maps and their decision tables.

use std::fmt;
use std::sync::{LazyLock, Mutex};

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use super::pieces::Pieces;

/// An 8-bit code book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Map8 {
    /// `create_dynamic_map(signed=True)`: −0.993 … 1, zero at code 127.
    DynamicSigned,
    /// `create_dynamic_map(signed=False)`: 0 … 1, zero at code 0.
    DynamicUnsigned,
}

static SIGNED: LazyLock<Tables> = LazyLock::new(|| Tables::new(true));
static UNSIGNED: LazyLock<Tables> = LazyLock::new(|| Tables::new(false));

impl Map8 {
    /// The numbers that the 256 codes stand for, ascending.
    pub fn table(self) -> &'static [f32; 256] {
        &self.tables().codes
    }

    pub(crate) fn tables(self) -> &'static Tables {
        match self {
            Map8::DynamicSigned => &SIGNED,
            Map8::DynamicUnsigned => &UNSIGNED,
        }
    }
}

/// 256 numbers that 8-bit codes stand for, such as a file brings along.
///
/// A table is kept for the life of the process, equal ones once, so that what describes a packed
/// tensor can be copied freely.
#[derive(Clone, Copy)]
pub struct Table8(&'static [f32; 256]);

static STORED: Mutex<Vec<Table8>> = Mutex::new(Vec::new());

impl Table8 {
    /// The table of these numbers, in any order.
    pub fn new(values: &[f32; 256]) -> Self {
        let same = |table: &Table8| table.has(values);
        let known = Table8::from(Map8::DynamicSigned);
        if same(&known) {
            return known;
        }
        let mut stored = STORED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(table) = stored.iter().copied().find(same) {
            return table;
        }
        let table = Table8(Box::leak(Box::new(*values)));
        stored.push(table);
        table
    }

    /// The numbers, by code.
    pub fn values(self) -> &'static [f32; 256] {
        self.0
    }

    /// To the bit: −0 is not 0.
    fn has(&self, values: &[f32; 256]) -> bool {
        std::ptr::eq(self.0, values) || self.0.iter().zip(values).all(|(a, b)| a.to_bits() == b.to_bits())
    }
}

impl From<Map8> for Table8 {
    fn from(map: Map8) -> Self {
        Table8(map.table())
    }
}

impl PartialEq for Table8 {
    fn eq(&self, other: &Self) -> bool {
        self.has(other.0)
    }
}

impl fmt::Debug for Table8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table8({} … {})", self.0[0], self.0[255])
    }
}

/// A code book with what is derived from it.
pub(crate) struct Tables {
    pub codes: [f32; 256],
    /// Midpoints of neighbouring codes, rounded to f32.
    pub midpoints: [f32; 255],
    /// bitsandbytes' CPU table: the code for each of 65,536 steps over `[-1, 1]`.
    pub bnb_cpu: Vec<u8>,
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    pub pieces: Pieces,
}

impl Tables {
    fn new(signed: bool) -> Self {
        let codes = dynamic_map(signed);
        let midpoints = std::array::from_fn(|i| 0.5 * (codes[i] + codes[i + 1]));
        let bnb_cpu = (0..65_536u32)
            .map(|i| {
                let value = -1.0 + (2.0 * i as f32) / 65_535.0;
                midpoints.partition_point(|&midpoint| midpoint < value) as u8
            })
            .collect();
        Tables {
            #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
            pieces: Pieces::new(&midpoints, signed),
            codes,
            midpoints,
            bnb_cpu,
        }
    }
}

/// bitsandbytes' `create_dynamic_map` with seven exponent bits: decade by decade
/// the means of a linear grid over `[0.1, 1]`, twice as fine in each, and both
/// signs where signed; then 0 and 1.
fn dynamic_map(signed: bool) -> [f32; 256] {
    const DECADES: i32 = 7;
    let mut codes = Vec::with_capacity(256);
    for decade in 0..DECADES {
        let grid = linspace(0.1, 1.0, (1 << (decade + i32::from(!signed))) + 1);
        let scale = 10f64.powi(decade + 1 - DECADES) as f32;
        for pair in grid.windows(2) {
            let mean = scale * ((pair[0] + pair[1]) / 2.0);
            codes.push(mean);
            if signed {
                codes.push(-mean);
            }
        }
    }
    codes.extend([0.0, 1.0]);
    codes.sort_by(f32::total_cmp);
    let mut map = [0.0; 256];
    map.copy_from_slice(&codes);
    map
}

/// `torch.linspace` in f32: counted from the nearer end, one rounding each.
fn linspace(start: f32, end: f32, count: usize) -> Vec<f32> {
    let step = f64::from((end - start) / (count - 1) as f32);
    (0..count)
        .map(|i| {
            if i < count / 2 {
                (f64::from(start) + step * i as f64) as f32
            } else {
                (f64::from(end) - step * (count - 1 - i) as f64) as f32
            }
        })
        .collect()
}
