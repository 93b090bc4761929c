//! Rows turned into lines, and back: the transposition of 32 rows of a few classes.

use crate::width::CHUNK_LANES;

/// One class of each row.
pub(crate) type Line<F> = [F; CHUNK_LANES];

/// 32 rows of a few classes, which are turned into lines.
pub trait RowsToTurn<F> {
    /// The classes `first` to `first` + 3 of a row.
    fn four(&self, row: usize, first: usize) -> &[F; 4];

    /// Turns rows of one, two or three classes: as many as there are lines.
    fn turn_few(&self, lines: &mut [[F; CHUNK_LANES]]);
}

/// Rows one behind the other.
pub struct Dense<'a, F> {
    rows: &'a [F],
    classes: usize,
}

impl<'a, F> Dense<'a, F> {
    /// 32 rows of `classes` classes.
    #[inline(always)]
    pub fn new(rows: &'a [F], classes: usize) -> Self {
        assert!(classes < 1 << 32 && rows.len() == CHUNK_LANES * classes);
        Dense { rows, classes }
    }
}

impl<F: Copy> RowsToTurn<F> for Dense<'_, F> {
    #[inline(always)]
    fn four(&self, row: usize, first: usize) -> &[F; 4] {
        assert!(row < CHUNK_LANES && self.classes >= 4 && first <= self.classes - 4);
        // SAFETY: by the assertion, and that of `new`, the four numbers are in `rows`.
        unsafe { &*self.rows.as_ptr().add(row * self.classes + first).cast() }
    }

    #[inline(always)]
    fn turn_few(&self, lines: &mut [[F; CHUNK_LANES]]) {
        // Shuffles whose pattern LLVM knows.
        match lines {
            [a] => *a = *self.rows.first_chunk().expect("32 rows"),
            [a, b] => {
                let rows: &[F; 2 * CHUNK_LANES] = self.rows.first_chunk().expect("32 rows");
                for r in 0..CHUNK_LANES {
                    (a[r], b[r]) = (rows[2 * r], rows[2 * r + 1]);
                }
            }
            [a, b, c] => {
                let rows: &[F; 3 * CHUNK_LANES] = self.rows.first_chunk().expect("32 rows");
                for r in 0..CHUNK_LANES {
                    (a[r], b[r], c[r]) = (rows[3 * r], rows[3 * r + 1], rows[3 * r + 2]);
                }
            }
            _ => unreachable!("four classes and more are turned by fours"),
        }
    }
}

/// Rows that lie anywhere.
pub struct Apart<'a, F> {
    rows: [&'a [F]; CHUNK_LANES],
    classes: usize,
}

impl<'a, F> Apart<'a, F> {
    /// 32 rows of at least `classes` classes.
    #[inline(always)]
    pub fn new(rows: [&'a [F]; CHUNK_LANES], classes: usize) -> Self {
        assert!(rows.iter().all(|row| row.len() >= classes), "all classes of each row");
        Apart { rows, classes }
    }
}

impl<F: Copy> RowsToTurn<F> for Apart<'_, F> {
    #[inline(always)]
    fn four(&self, row: usize, first: usize) -> &[F; 4] {
        assert!(self.classes >= 4 && first <= self.classes - 4);
        // SAFETY: by the assertion, and that of `new`, the row has the four numbers.
        unsafe { &*self.rows[row].as_ptr().add(first).cast() }
    }

    #[inline(always)]
    fn turn_few(&self, lines: &mut [[F; CHUNK_LANES]]) {
        match lines {
            [a] => {
                for (a, row) in a.iter_mut().zip(self.rows) {
                    [*a] = *row.first_chunk().expect("one class");
                }
            }
            [a, b] => {
                for ((a, b), row) in a.iter_mut().zip(b).zip(self.rows) {
                    [*a, *b] = *row.first_chunk().expect("two classes");
                }
            }
            [a, b, c] => {
                for (((a, b), c), row) in a.iter_mut().zip(b).zip(c).zip(self.rows) {
                    [*a, *b, *c] = *row.first_chunk().expect("three classes");
                }
            }
            _ => unreachable!("four classes and more are turned by fours"),
        }
    }
}

/// The opposite of [`RowsToTurn::turn_few`].
#[inline(always)]
fn turn_back<F: Copy>(lines: &[Line<F>], rows: &mut [F]) {
    match lines {
        [a] => rows[..CHUNK_LANES].copy_from_slice(a),
        [a, b] => {
            let rows: &mut [F; 2 * CHUNK_LANES] = rows.first_chunk_mut().expect("32 rows");
            for r in 0..CHUNK_LANES {
                (rows[2 * r], rows[2 * r + 1]) = (a[r], b[r]);
            }
        }
        [a, b, c] => {
            let rows: &mut [F; 3 * CHUNK_LANES] = rows.first_chunk_mut().expect("32 rows");
            for r in 0..CHUNK_LANES {
                (rows[3 * r], rows[3 * r + 1], rows[3 * r + 2]) = (a[r], b[r], c[r]);
            }
        }
        _ => unreachable!("four classes and more are turned by fours"),
    }
}

/// The first classes of groups of four that cover `classes` classes, at least four. The last four
/// overlap those before, if the number of classes is no multiple of four.
fn fours(classes: usize) -> impl Iterator<Item = usize> {
    (0..classes.div_ceil(4)).map(move |four| (4 * four).min(classes - 4))
}

/// Turns rows into as many lines as they have classes. `four` is [`turn_four`] or does what it does.
#[inline(always)]
pub(crate) fn turn_by_fours<F>(
    rows: &impl RowsToTurn<F>,
    lines: &mut [Line<F>],
    four: impl Fn(usize, &mut [Line<F>; 4]),
) {
    let classes = lines.len();
    if classes < 4 {
        return rows.turn_few(lines);
    }
    for first in fours(classes) {
        four(first, lines[first..].first_chunk_mut().expect("four classes"));
    }
}

/// `rows[r · classes + c] = lines[c][r]`, with as many classes as there are lines. `four` is
/// [`turn_four_back`] or does what it does.
#[inline(always)]
pub(crate) fn turn_back_by_fours<F: Copy>(
    lines: &[Line<F>],
    rows: &mut [F],
    four: impl Fn([&Line<F>; 4], &mut [F], usize),
) {
    let classes = lines.len();
    if classes < 4 {
        return turn_back(lines, rows);
    }
    for first in fours(classes) {
        let lines = [0, 1, 2, 3].map(|c| &lines[first + c]);
        four(lines, &mut rows[first..], classes);
    }
}

/// Four lines as four classes of 32 rows, whose first class lies `classes` behind that of the row
/// before.
#[inline(always)]
pub(crate) fn turn_four_back<F: Copy>(lines: [&Line<F>; 4], rows: &mut [F], classes: usize) {
    for (r, row) in rows.chunks_mut(classes).enumerate().take(CHUNK_LANES) {
        let four: &mut [F; 4] = row.first_chunk_mut().expect("four classes");
        for (x, line) in four.iter_mut().zip(&lines) {
            *x = line[r];
        }
    }
}

/// The classes `first` to `first` + 3 of 32 rows, as lines.
#[inline(always)]
pub(crate) fn turn_four<F: Copy>(
    rows: &impl RowsToTurn<F>,
    first: usize,
    lines: &mut [Line<F>; 4],
) {
    for r in 0..CHUNK_LANES {
        for (line, &x) in lines.iter_mut().zip(rows.four(r, first)) {
            line[r] = x;
        }
    }
}
