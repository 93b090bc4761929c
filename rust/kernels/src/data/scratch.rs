//! Scratch memory: what a task needs beside its inputs and outputs, kept from block to block.

use crate::math::share;
use crate::math::side_by_side::Steps;
use nll_simd::{Aligned, Buffer, CHUNK_LANES, Real};
use std::any::Any;
use std::ops::Range;

/// How many rows are read together at most: their last steps share vector registers.
pub const GROUP: usize = 16;

/// How many classes are read at a time: 8 KiB of f32, a quarter of L1.
pub const BLOCK: usize = 2048;

/// How many chunks go through the loops of a sum together: those of a piece.
pub const PIECE: usize = 8;

/// The number of classes in a piece.
pub(crate) const PIECE_CLASSES: usize = PIECE * CHUNK_LANES;

/// For each piece of a block, the largest class of each lane of its chunks.
pub(crate) type Peaks<F> = [[F; CHUNK_LANES]; BLOCK / PIECE_CLASSES];

/// Buffers that grow when they are first used. Each array that is read has a scratch of its own,
/// and so has each computation; every one uses the buffers it needs.
pub struct Scratch<F> {
    /// A block of an array, converted to `F`.
    pub values: Buffer<F>,
    /// A block of halves as float32, on the way to float64.
    pub(crate) singles: Buffer<f32>,
    /// A block of halves, copied from an array with strides.
    pub(crate) halves: Buffer<u16>,
    /// A block of an array whose numbers are changed as they are read.
    pub(crate) altered: Buffer<F>,
    /// Rows of an array with strides.
    pub(crate) tile: Tile<F>,
    /// A block that lies in several rows of a tile.
    pub(crate) gathered: Buffer<F>,
    /// The classes of some rows, as lines.
    pub lines: Buffer<F>,
    /// The exponentials of a block, or of a whole row.
    pub terms: Buffer<F>,
    /// A block with one of its classes hidden, or with weights applied.
    pub changed: Buffer<F>,
    /// Products in the precision above `F`: their values, …
    pub rounded: Buffer<f64>,
    /// … what rounding took from them, …
    pub lost: Buffer<f64>,
    /// … and a second product of each class.
    pub second: Buffer<f64>,
    /// What some classes add to the sums of a comparison.
    pub shares: Buffer<f64>,
    /// What the steps of a loss leave for the next, for groups of rows side by side.
    pub steps: Vec<Steps<F, CHUNK_LANES>>,
    /// The same, for what compares two rows of float32.
    pub(crate) share_steps: Option<Box<share::Steps>>,
    /// What [`LogSum`](crate::fold::LogSum) and the search for the largest classes write for each piece of a block; None
    /// before the first block. A call of few rows needs none, and to set these 3 KiB to 0 would take a twentieth of it.
    pieces: Option<Box<Pieces<F>>>,
    /// Whether a row so far had a class at −∞: the next ones may have the same mask.
    pub(crate) is_masked: bool,
}

/// Numbers for the pieces of a block: the chunks that go through the loops of a sum together.
pub(crate) struct Pieces<F> {
    /// The exponentials of some chunks; of a known length, so that LLVM unrolls the loops over it.
    pub(crate) terms: Aligned<[F; PIECE_CLASSES]>,
    /// The same chunks with one of their classes hidden.
    pub(crate) held: Aligned<[[F; CHUNK_LANES]; PIECE]>,
    /// The peaks of a block, by which the search for the largest k classes skips pieces.
    pub(crate) peaks: Peaks<F>,
}

/// Some classes of some neighbouring rows.
pub(crate) struct Tile<F> {
    pub values: Buffer<F>,
    /// The address of the view that it was copied from, which outlives the scratch: that is made for
    /// one call.
    pub view: usize,
    /// The first row.
    pub first: usize,
    pub classes: Range<usize>,
}

/// A scratch of either type.
pub(crate) enum Typed<'s> {
    F32(&'s mut Scratch<f32>),
    F64(&'s mut Scratch<f64>),
}

impl<F: Real> Scratch<F> {
    /// The numbers for the pieces of a block, which are made here when they are first used.
    #[inline(always)]
    pub(crate) fn pieces(&mut self) -> &mut Pieces<F> {
        self.pieces.get_or_insert_with(Pieces::new)
    }

    /// The scratch with its type, which is known where `F` is and costs nothing.
    #[inline(always)]
    pub(crate) fn typed(&mut self) -> Typed<'_> {
        let scratch: &mut dyn Any = self;
        if scratch.is::<Scratch<f32>>() {
            Typed::F32(scratch.downcast_mut().expect("it is of f32"))
        } else {
            Typed::F64(scratch.downcast_mut().expect("it is of f64, the other Real"))
        }
    }
}

impl<F: Real> Pieces<F> {
    #[cold]
    fn new() -> Box<Self> {
        Box::new(Pieces {
            terms: Aligned([F::ZERO; PIECE_CLASSES]),
            held: Aligned([[F::ZERO; CHUNK_LANES]; PIECE]),
            peaks: [[F::NEG_INFINITY; CHUNK_LANES]; BLOCK / PIECE_CLASSES],
        })
    }
}

impl<F: Real> Default for Scratch<F> {
    fn default() -> Self {
        Scratch {
            values: Buffer::default(),
            singles: Buffer::default(),
            halves: Buffer::default(),
            altered: Buffer::default(),
            tile: Tile { values: Buffer::default(), view: 0, first: 0, classes: 0..0 },
            gathered: Buffer::default(),
            lines: Buffer::default(),
            terms: Buffer::default(),
            changed: Buffer::default(),
            rounded: Buffer::default(),
            lost: Buffer::default(),
            second: Buffer::default(),
            shares: Buffer::default(),
            steps: Vec::new(),
            share_steps: None,
            pieces: None,
            is_masked: false,
        }
    }
}
