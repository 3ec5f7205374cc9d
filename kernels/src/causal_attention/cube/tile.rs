//! Tiles of queries and keys in shared memory, and the products between them.
//!
//! A tile holds rows of one head, padded with zeros to vectors of four. A unit computes 4×4
//! results at a time whose rows and columns lie a tile's share apart, so that neighbouring
//! units read neighbouring banks.

use cubecl::client::Client;
use cubecl::prelude::*;

/// Sizes of the tiles and how a cube works on them; queries, keys and units are powers of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tile {
    /// Queries of a tile.
    pub queries: usize,
    /// Keys of a tile, at most the queries.
    pub keys: usize,
    /// Vectors of four in a row.
    pub fours: usize,
    /// Units of a cube.
    pub units: usize,
}

impl Tile {
    /// The first of `choices` (queries, keys, units) whose shared memory the device has, for
    /// `row_tiles` tiles of each kind and `score_tiles` of scores; the last one in any case.
    pub fn new(client: &Client, d: usize, choices: &[(usize, usize, usize)], needs: Needs) -> Self {
        let properties = client.properties();
        let most = properties.hardware.max_units_per_cube as usize;
        let tile = |&(queries, keys, units): &(usize, usize, usize)| Self {
            queries,
            keys,
            fours: d.div_ceil(4),
            units: 1 << units.min(most.max(1)).ilog2(),
        };
        let fits = |tile: &Self| tile.bytes(needs) <= properties.hardware.max_shared_memory_size;
        // Few units take small tiles: their results must fit what one unit can keep at hand.
        let large = |tile: &Self| tile.units * 16 >= tile.queries * tile.keys;
        let tiles = || choices.iter().map(&tile);
        tiles()
            .find(|tile| fits(tile) && large(tile))
            .or_else(|| tiles().rev().find(fits))
            .or_else(|| tiles().next_back())
            .expect("a choice of tiles")
    }

    fn bytes(self, needs: Needs) -> usize {
        let rows = needs.query_tiles * self.queries + needs.key_tiles * self.keys;
        16 * rows * self.pitch() + 4 * self.queries * (needs.score_tiles * self.score_pitch() + 3)
    }

    /// Vectors from one row of a tile to the next; odd, so that rows begin in different banks.
    pub fn pitch(self) -> usize {
        self.fours | 1
    }

    /// Values from one row of scores to the next, odd likewise.
    pub fn score_pitch(self) -> usize {
        self.keys + 1
    }

    /// Rows between the four of a unit.
    pub fn down(self) -> usize {
        self.queries / 4
    }

    /// Units along a row.
    pub fn across(self) -> usize {
        (self.units / self.down()).max(1)
    }

    /// Units along a column.
    pub fn unit_rows(self) -> usize {
        self.units / self.across()
    }

    /// Fours of rows of one unit.
    pub fn tall(self) -> usize {
        self.down() / self.unit_rows()
    }

    /// Keys between the four of a unit.
    pub fn key_step(self) -> usize {
        self.keys / 4
    }

    /// Fours of keys of one unit.
    pub fn wide(self) -> usize {
        self.key_step() / self.across()
    }

    /// Vectors of a row of one unit, the last of them beyond the row for some.
    pub fn vectors(self) -> usize {
        self.fours.div_ceil(self.across())
    }

    /// Scores that one unit computes.
    pub fn scores(self) -> usize {
        self.tall() * self.wide() * 16
    }

    /// Values of rows that one unit sums.
    pub fn sums(self) -> usize {
        self.tall() * self.vectors() * 16
    }

    /// Whether a unit's loops over its pieces are unrolled, which keeps its results in registers.
    pub fn unrolled(self) -> bool {
        self.scores() <= 32
    }
}

/// Tiles that a kernel keeps in shared memory.
#[derive(Clone, Copy)]
pub(super) struct Needs {
    pub query_tiles: usize,
    pub key_tiles: usize,
    pub score_tiles: usize,
}

/// Brings `count` rows from `first` on into a tile of `height` rows, zeros below and beside them.
#[cube]
pub(super) fn load<N: Size>(
    tile: &mut Shared<[Vector<f32, Const<4>>]>,
    from: &[Vector<f32, N>],
    first: u32,
    count: u32,
    stride: u32,
    offset: u32,
    d: u32,
    #[comptime] height: usize,
    #[comptime] plan: Tile,
) {
    let lanes = N::value().comptime();
    let fours = comptime!(plan.fours as u32);
    let pitch = comptime!(plan.pitch() as u32);
    for i in range_stepped(UNIT_POS, comptime!((height * plan.fours) as u32), comptime!(plan.units as u32)) {
        let (row, col) = (i / fours, i % fours);
        let mut values = Vector::<f32, Const<4>>::new(0.0f32);
        if row < count {
            let at = (first + row) * stride + offset + col * 4;
            if comptime!(lanes == 4) {
                let four = from[(at / 4) as usize];
                #[unroll]
                for lane in 0..4usize {
                    values.insert(lane, four.extract(lane));
                }
            } else {
                #[unroll]
                for lane in 0..4usize {
                    let lane_col = col * 4 + comptime!(lane as u32);
                    if lane_col < d {
                        values.insert(lane, from[(at + comptime!(lane as u32)) as usize].extract(0usize));
                    }
                }
            }
        }
        tile[(row * pitch + col) as usize] = values;
    }
}

/// The products of the rows of two tiles, into the unit's 4×4 results.
#[cube]
pub(super) fn multiply(
    queries: &Shared<[Vector<f32, Const<4>>]>,
    keys: &Shared<[Vector<f32, Const<4>>]>,
    scores: &mut Array<f32>,
    #[comptime] plan: Tile,
) {
    let unrolled = comptime!(plan.unrolled());
    let pitch = comptime!(plan.pitch() as u32);
    let across = comptime!(plan.across() as u32);
    let (tx, ty) = (UNIT_POS % across, UNIT_POS / across);
    #[unroll(unrolled)]
    for r in 0..comptime!(plan.tall()) {
        #[unroll(unrolled)]
        for c in 0..comptime!(plan.wide()) {
            let piece = (r * comptime!(plan.wide()) + c) * 16;
            #[unroll]
            for i in 0..16usize {
                scores[piece + i] = 0.0;
            }
            let row = ty + r as u32 * comptime!(plan.unit_rows() as u32);
            let key = tx + c as u32 * across;
            for at in 0..comptime!(plan.fours as u32) {
                let mut a = Array::<Vector<f32, Const<4>>>::new(4usize);
                #[unroll]
                for i in 0..4usize {
                    a[i] = queries[((row + comptime!((i * plan.down()) as u32)) * pitch + at) as usize];
                }
                #[unroll]
                for j in 0..4usize {
                    let b = keys[((key + comptime!((j * plan.key_step()) as u32)) * pitch + at) as usize];
                    #[unroll]
                    for i in 0..4usize {
                        let to = piece + comptime!(i * 4 + j);
                        #[unroll]
                        for lane in 0..4usize {
                            scores[to] = fma(a[i].extract(lane), b.extract(lane), scores[to]);
                        }
                    }
                }
            }
        }
    }
}

/// Which way a tile of scores weighs the rows that are summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Weighing {
    /// A sum over keys for each query.
    Queries,
    /// A sum over queries for each key; the tile is square.
    Keys,
}

/// Adds the tile's rows, each weighed by its scores, to the unit's sums.
#[cube]
pub(super) fn accumulate(
    scores: &Shared<[f32]>,
    values: &Shared<[Vector<f32, Const<4>>]>,
    sums: &mut Array<f32>,
    #[comptime] weighing: Weighing,
    #[comptime] plan: Tile,
) {
    let unrolled = comptime!(plan.unrolled());
    let pitch = comptime!(plan.pitch() as u32);
    let across = comptime!(plan.across() as u32);
    let score_pitch = comptime!(plan.score_pitch() as u32);
    let terms = comptime!(match weighing {
        Weighing::Queries => plan.keys as u32,
        Weighing::Keys => plan.queries as u32,
    });
    let (tx, ty) = (UNIT_POS % across, UNIT_POS / across);
    for term in 0..terms {
        #[unroll(unrolled)]
        for r in 0..comptime!(plan.tall()) {
            let row = ty + r as u32 * comptime!(plan.unit_rows() as u32);
            let mut weights = Array::<f32>::new(4usize);
            #[unroll]
            for i in 0..4usize {
                let row = row + comptime!((i * plan.down()) as u32);
                weights[i] = if comptime!(weighing == Weighing::Queries) {
                    scores[(row * score_pitch + term) as usize]
                } else {
                    scores[(term * score_pitch + row) as usize]
                };
            }
            #[unroll(unrolled)]
            for c in 0..comptime!(plan.vectors()) {
                let mut col = tx + c as u32 * across;
                if comptime!(!plan.fours.is_multiple_of(plan.across())) {
                    // Sums beyond the row are not written.
                    col = min(col, comptime!(plan.fours as u32 - 1).runtime());
                }
                let value = values[(term * pitch + col) as usize];
                let piece = (r * comptime!(plan.vectors()) + c) * 16;
                #[unroll]
                for i in 0..4usize {
                    #[unroll]
                    for lane in 0..4usize {
                        let to = piece + comptime!(i * 4 + lane);
                        sums[to] = fma(weights[i], value.extract(lane), sums[to]);
                    }
                }
            }
        }
    }
}

/// Multiplies the unit's sums by a factor per row.
#[cube]
pub(super) fn scale(sums: &mut Array<f32>, factors: &Shared<[f32]>, #[comptime] plan: Tile) {
    let unrolled = comptime!(plan.unrolled());
    let ty = UNIT_POS / comptime!(plan.across() as u32);
    #[unroll(unrolled)]
    for r in 0..comptime!(plan.tall()) {
        let row = ty + r as u32 * comptime!(plan.unit_rows() as u32);
        #[unroll]
        for i in 0..4usize {
            let factor = factors[(row + comptime!((i * plan.down()) as u32)) as usize];
            #[unroll(unrolled)]
            for c in 0..comptime!(plan.vectors()) {
                let piece = (r * comptime!(plan.vectors()) + c) * 16;
                #[unroll]
                for lane in 0..4usize {
                    sums[piece + comptime!(i * 4 + lane)] *= factor;
                }
            }
        }
    }
}

/// Writes the unit's sums to `count` rows from `first` on.
#[cube]
pub(super) fn store(
    sums: &Array<f32>,
    to: &mut [f32],
    first: u32,
    count: u32,
    stride: u32,
    offset: u32,
    d: u32,
    #[comptime] plan: Tile,
) {
    let unrolled = comptime!(plan.unrolled());
    let across = comptime!(plan.across() as u32);
    let (tx, ty) = (UNIT_POS % across, UNIT_POS / across);
    #[unroll(unrolled)]
    for r in 0..comptime!(plan.tall()) {
        #[unroll(unrolled)]
        for c in 0..comptime!(plan.vectors()) {
            let piece = (r * comptime!(plan.vectors()) + c) * 16;
            let col = (tx + c as u32 * across) * 4;
            #[unroll]
            for i in 0..4usize {
                let row =
                    ty + r as u32 * comptime!(plan.unit_rows() as u32) + comptime!((i * plan.down()) as u32);
                #[unroll]
                for lane in 0..4usize {
                    let lane_col = col + comptime!(lane as u32);
                    if row < count && lane_col < d {
                        to[((first + row) * stride + offset + lane_col) as usize] =
                            sums[piece + comptime!(i * 4 + lane)];
                    }
                }
            }
        }
    }
}
