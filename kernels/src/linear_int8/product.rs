//! The whole product: panels of the weight against rows of `x`.

use rayon::prelude::*;

use super::activations::Activations;
use super::spec::{INT8_BLOCK, Int8Spec, Layout, PANEL};
use super::task::TileTask;
use super::unit::Unit;
use crate::product::Buffer;
use crate::values::Values;

/// Rows from which 4-bit codes are written out as bytes once rather than looked up in every tile.
const EXPAND_FROM: usize = 24;

/// Bytes of `x` that a panel meets before the next panel comes: they stay in the second cache.
const X_BYTES: usize = 1 << 19;

/// Bytes of weight under which a task is not worth handing to another thread.
const TASK_BYTES: usize = 1 << 15;

/// The most rows of a tile of any unit.
const MOST_ROWS: usize = 32;

/// Bytes of weight and rows: what a product reads.
struct Product<'a> {
    unit: Unit,
    spec: &'a Int8Spec,
    layout: Layout,
    table: [u8; 16],
    packed: &'a [u8],
    x: Activations,
    y: *mut f32,
}

// SAFETY: tasks write disjoint columns of `y`, which outlives them.
#[allow(unsafe_code)]
unsafe impl Sync for Product<'_> {}

/// `y[m, out] = x[m, in] · Wᵀ`.
///
/// # Panics
/// If the lengths do not fit the description.
pub(super) fn project(packed: &[u8], spec: &Int8Spec, x: &[f32], m: usize) -> Values {
    project_by(Unit::active(m), packed, spec, x, m)
}

/// As [`project`], by given instructions.
pub(super) fn project_by(unit: Unit, packed: &[u8], spec: &Int8Spec, x: &[f32], m: usize) -> Values {
    assert_eq!(packed.len(), spec.packed_len(), "linear_int8: bytes of the packed weight");
    assert_eq!(x.len(), m * spec.in_features, "linear_int8: values of x");
    if m == 0 || spec.out_features == 0 || spec.in_features == 0 {
        return vec![0.0; m * spec.out_features].into();
    }
    let mut y = Values::unset(m * spec.out_features);
    let product = Product {
        unit,
        spec,
        layout: spec.layout(),
        table: spec.stored_table(),
        packed,
        x: Activations::new(x, m, spec.in_features),
        y: y.as_mut_ptr(),
    };
    product.run();
    y
}

impl Product<'_> {
    /// All panels, on all threads where there is enough to do.
    fn run(&self) {
        let panels = self.spec.panels();
        let work = self.packed.len().saturating_mul(self.x.m);
        let threads = rayon::current_num_threads();
        if threads == 1 || work < 2 * TASK_BYTES {
            return self.panels(0, panels);
        }
        // Contiguous runs of panels, a few for each thread so that none waits long for the last.
        let each = panels.div_ceil(4 * threads).max(TASK_BYTES.div_ceil(self.spec.panel_bytes() * self.x.m));
        (0..panels.div_ceil(each)).into_par_iter().with_max_len(1).for_each(|task| {
            let first = task * each;
            self.panels(first, each.min(panels - first));
        });
    }

    fn panels(&self, first: usize, count: usize) {
        let (m, blocks) = (self.x.m, self.x.blocks);
        let panel_bytes = self.spec.panel_bytes();
        let expand = self.unit.takes_signed() || self.layout.nibbles && m >= EXPAND_FROM;
        let wide = Layout { nibbles: false, ..self.layout };
        let expanded = if expand { blocks * wide.block_bytes() } else { 0 };
        let mut expanded = Buffer::take(expanded / size_of::<f32>());
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut expanded);
        let mut tile = [0f32; MOST_ROWS * PANEL];
        let rows_each = (X_BYTES / (blocks * INT8_BLOCK)).max(self.unit.rows());
        for row in (0..m).step_by(rows_each) {
            let rows = rows_each.min(m - row);
            for panel in first..first + count {
                let packed = &self.packed[panel * panel_bytes..][..panel_bytes];
                if expand {
                    self.unit.expand(packed, self.layout, &self.table, bytes);
                    self.rows(panel, bytes, wide, (row, rows), &mut tile);
                } else {
                    self.rows(panel, packed, self.layout, (row, rows), &mut tile);
                }
            }
        }
    }

    /// One panel against `count` rows from `first`; `tile` is scratch.
    fn rows(
        &self,
        panel: usize,
        packed: &[u8],
        layout: Layout,
        (first, count): (usize, usize),
        tile: &mut [f32; MOST_ROWS * PANEL],
    ) {
        let (x, out) = (&self.x, self.spec.out_features);
        let (codes, stats) = (x.codes(), x.stats());
        // Tiles of vectors are of about equal height; a matrix unit is best filled.
        let each = match self.unit.takes_signed() {
            true => self.unit.rows(),
            false => count.div_ceil(count.div_ceil(self.unit.rows())),
        };
        for row in (first..first + count).step_by(each) {
            let rows = each.min(first + count - row);
            let at = row * x.blocks..(row + rows) * x.blocks;
            let task = TileTask {
                panel: packed,
                layout,
                table: &self.table,
                blocks: x.blocks,
                rows,
                x: &codes[at.clone()],
                stats: &stats[at],
            };
            self.unit.tile(&task, &mut tile[..rows * PANEL]);
            let live = PANEL.min(out - panel * PANEL);
            for (i, values) in tile.as_chunks::<PANEL>().0.iter().enumerate().take(rows) {
                // SAFETY: row and columns lie inside `y[m, out]`; no other task has this panel.
                #[allow(unsafe_code)]
                unsafe {
                    let to = self.y.add((row + i) * out + panel * PANEL);
                    if live == PANEL {
                        *to.cast() = *values;
                    } else {
                        std::ptr::copy_nonoverlapping(values.as_ptr(), to, live);
                    }
                }
            }
        }
    }
}
