//! paged_append and paged_attention against the reference, and the same bits in any company.

mod checks;

use burn::tensor::Tensor;
use camelid_kernels::paged_attention::{PagedRows, PagedSequence, paged_append, paged_attention, reference};
use checks::{bits, close, device, list, tensor, values, wide, with_threads};
use proptest::prelude::*;

/// Sizes of heads, and the pool's.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    kv_heads: usize,
    group: usize,
    d: usize,
    positions: usize,
    blocks: usize,
}

impl Sizes {
    fn heads(&self) -> usize {
        self.kv_heads * self.group
    }
}

/// Keys and values of a pool whose blank places hold what would spoil every sum.
fn pool(sizes: Sizes) -> (Tensor<4>, Tensor<4>) {
    let Sizes { kv_heads, d, positions, blocks, .. } = sizes;
    let nan = vec![f32::NAN; blocks * kv_heads * d * positions];
    let device = device();
    (
        tensor(&nan, [blocks, kv_heads, d, positions], &device),
        tensor(&nan, [blocks, kv_heads, positions, d], &device),
    )
}

/// The queries, keys and values of a text's positions: of one seed always the same.
struct Text {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
}

impl Text {
    fn new(sizes: Sizes, len: usize, seed: u64) -> Self {
        let some = |width: usize, seed| values(len * width, seed).iter().map(|v| v * 3.0).collect();
        Self {
            q: some(sizes.heads() * sizes.d, seed),
            k: some(sizes.kv_heads * sizes.d, seed + 100),
            v: some(sizes.kv_heads * sizes.d, seed + 200),
        }
    }
}

/// Positions `from..to` of texts, in one call each: appended, then attended to.
struct Run {
    sizes: Sizes,
    keys: Tensor<4>,
    values: Tensor<4>,
}

impl Run {
    fn new(sizes: Sizes) -> Self {
        let (keys, values) = pool(sizes);
        Self { sizes, keys, values }
    }

    /// One call over the given pieces of texts; the outputs piece by piece.
    fn call(&mut self, pieces: &[(&Text, std::ops::Range<usize>, Vec<u32>)]) -> Vec<Vec<f32>> {
        let Sizes { kv_heads, d, .. } = self.sizes;
        let heads = self.sizes.heads();
        let rows = PagedRows::new(pieces.iter().map(|(_, range, blocks)| PagedSequence {
            rows: range.len(),
            start: range.start,
            blocks: blocks.clone(),
        }));
        let n = rows.total();
        let packed = |of: fn(&Text) -> &Vec<f32>, width: usize| -> Vec<f32> {
            let piece = |(text, range, _): &(&Text, std::ops::Range<usize>, Vec<u32>)| {
                of(text)[range.start * width..range.end * width].to_vec()
            };
            pieces.iter().flat_map(piece).collect()
        };
        let device = device();
        let k = tensor(&packed(|t| &t.k, kv_heads * d), [n, kv_heads, d], &device);
        let v = tensor(&packed(|t| &t.v, kv_heads * d), [n, kv_heads, d], &device);
        let q = tensor(&packed(|t| &t.q, heads * d), [n, heads, d], &device);
        (self.keys, self.values) = paged_append(self.keys.clone(), self.values.clone(), k, v, &rows);
        let out = list(paged_attention(q, self.keys.clone(), self.values.clone(), 0.3, &rows));
        let mut out = out.chunks(heads * d);
        pieces
            .iter()
            .map(|(_, range, _)| out.by_ref().take(range.len()).flatten().copied().collect())
            .collect()
    }
}

fn sizes() -> impl Strategy<Value = Sizes> {
    (1..4usize, 1..4usize, prop_oneof![Just(4), Just(16), Just(24), Just(64)], 1..3usize).prop_map(
        |(kv_heads, group, d, pages)| Sizes { kv_heads, group, d, positions: 16 * pages, blocks: 24 },
    )
}

proptest! {
    #![proptest_config(checks::cases(48))]

    #[test]
    fn every_sequence_of_a_call_equals_the_reference(
        sizes in sizes(),
        lengths in prop::collection::vec((0..50usize, 1..20usize), 1..5),
        seed in 0..1000u64,
    ) {
        let mut run = Run::new(sizes);
        let texts: Vec<Text> = lengths.iter().enumerate()
            .map(|(i, (before, rows))| Text::new(sizes, before + rows, seed + 1000 * i as u64)).collect();
        // Blocks from the end of the pool, no two sequences next to each other.
        let tables: Vec<Vec<u32>> = (0..texts.len() as u32)
            .map(|i| (0..5).map(|block| 23 - i - 5 * block).collect()).collect();
        for ((text, (before, _)), table) in texts.iter().zip(&lengths).zip(&tables) {
            if *before > 0 {
                run.call(&[(text, 0..*before, table.clone())]);
            }
        }
        let pieces: Vec<_> = texts.iter().zip(&lengths).zip(&tables)
            .map(|((text, (before, rows)), table)| (text, *before..before + rows, table.clone())).collect();
        let got = run.call(&pieces);
        let (keys, values) = (wide(&list(run.keys.clone())), wide(&list(run.values.clone())));
        for ((got, (text, range, table)), i) in got.iter().zip(&pieces).zip(0..) {
            let width = sizes.heads() * sizes.d;
            let sequence = PagedSequence { rows: range.len(), start: range.start, blocks: table.clone() };
            let want = reference::paged_attention(
                &wide(&text.q[range.start * width..range.end * width]), &keys, &values, f64::from(0.3f32),
                &sequence, sizes.heads(), sizes.kv_heads, sizes.d, sizes.positions,
            );
            close(&format!("sequence {i}"), got, &want, 2e-5);
        }
    }

    #[test]
    fn a_position_gets_the_same_bits_alone_in_pieces_and_in_company(
        sizes in sizes(),
        len in 1..60usize,
        cuts in prop::collection::vec(1..60usize, 0..6),
        company in 1..30usize,
        seed in 0..1000u64,
    ) {
        let text = Text::new(sizes, len, seed);
        let other = Text::new(sizes, company, seed + 5000);
        let alone: Vec<f32> = (0..len).scan(Run::new(sizes), |run, i| {
            Some(run.call(&[(&text, i..i + 1, vec![0, 1, 2, 3])]).concat())
        }).flatten().collect();

        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < len).collect();
        cuts.extend([0, len]);
        cuts.sort_unstable();
        cuts.dedup();
        let mut run = Run::new(sizes);
        let mut pieces = Vec::new();
        for cut in cuts.windows(2) {
            let table = vec![9, 4, 20, 13];
            let both = with_threads(3, || run.call(&[
                (&other, 0..company, vec![2, 3]), (&text, cut[0]..cut[1], table),
            ]));
            pieces.extend_from_slice(&both[1]);
        }
        prop_assert_eq!(bits(&alone), bits(&pieces));
    }
}

#[test]
fn on_every_instruction_set() {
    checks::pass_on_every_instruction_set();
}

#[test]
#[should_panic(expected = "needs 2 blocks of a pool of 24")]
fn a_sequence_without_a_block_for_its_position_is_refused() {
    let sizes = Sizes { kv_heads: 1, group: 1, d: 4, positions: 16, blocks: 24 };
    Run::new(sizes).call(&[(&Text::new(sizes, 17, 1), 0..17, vec![3])]);
}
