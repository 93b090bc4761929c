//! Which second derivatives a call computes.

/// Which second derivatives are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hessian {
    /// The second derivatives themselves.
    Exact,
    /// Upper bounds of them over all values of the first input.
    Upper,
}

impl Hessian {
    /// The values of the argument `hess`.
    pub const NAMES: [(&'static str, Hessian); 2] =
        [("exact", Hessian::Exact), ("upper", Hessian::Upper)];
}
