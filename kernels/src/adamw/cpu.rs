//! The fast paths: loops that vectorise, in parallel over runs of whole blocks.

use rayon::prelude::*;

use super::{BLOCK, Moment8, Step};
use crate::blockwise4::Rounding;
use crate::blockwise8::Map8;
use crate::blockwise8::cpu::{dequantize_run, quantize_run};
use crate::isa::Isa;
use crate::lanes::vectorised_for;

/// Parameters per parallel task: whole blocks.
const TASK: usize = 64 * BLOCK;

pub(super) fn update_f32(isa: Isa, step: &Step, p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) {
    let values = p.par_chunks_mut(TASK).zip(g.par_chunks(TASK));
    let moments = m.par_chunks_mut(TASK).zip(v.par_chunks_mut(TASK));
    values.zip(moments).for_each(|((p, g), (m, v))| update_run(isa, step, p, g, m, v));
}

/// On this thread.
fn update_run(isa: Isa, step: &Step, p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) {
    vectorised_for(
        isa,
        #[inline(always)]
        || {
            for (((p, &g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
                step.update(p, g, m, v);
            }
        },
    );
}

pub(super) fn update_8bit(
    isa: Isa,
    step: &Step,
    rounding: Rounding,
    p: &mut [f32],
    g: &[f32],
    m: Moment8<'_>,
    v: Moment8<'_>,
) {
    let values = p.par_chunks_mut(TASK).zip(g.par_chunks(TASK));
    values.zip(tasks(m)).zip(tasks(v)).for_each(|(((p, g), m), v)| {
        // A block and its moments stay in the first-level cache.
        let (mut m32, mut v32) = ([0f32; BLOCK], [0f32; BLOCK]);
        let values = p.chunks_mut(BLOCK).zip(g.chunks(BLOCK));
        for (((p, g), m), v) in values.zip(blocks(m)).zip(blocks(v)) {
            let (m32, v32) = (&mut m32[..p.len()], &mut v32[..p.len()]);
            dequantize_run(isa, Map8::DynamicSigned, BLOCK, m.codes, m.absmax, m32);
            dequantize_run(isa, Map8::DynamicUnsigned, BLOCK, v.codes, v.absmax, v32);
            update_run(isa, step, p, g, m32, v32);
            quantize_run(isa, Map8::DynamicSigned, BLOCK, rounding, m32, m.codes, m.absmax);
            quantize_run(isa, Map8::DynamicUnsigned, BLOCK, rounding, v32, v.codes, v.absmax);
        }
    });
}

fn tasks(moment: Moment8<'_>) -> impl IndexedParallelIterator<Item = Moment8<'_>> {
    let absmax = moment.absmax.par_chunks_mut(TASK / BLOCK);
    moment.codes.par_chunks_mut(TASK).zip(absmax).map(|(codes, absmax)| Moment8 { codes, absmax })
}

fn blocks(moment: Moment8<'_>) -> impl Iterator<Item = Moment8<'_>> {
    let absmax = moment.absmax.chunks_mut(1);
    moment.codes.chunks_mut(BLOCK).zip(absmax).map(|(codes, absmax)| Moment8 { codes, absmax })
}
