//! Where a measured curve reaches a height.

use std::fmt;

use serde::Serialize;

/// Where a curve that rises from left to right reaches a height.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Crossing {
    /// Left of the first point, which stands here.
    Below(f64),
    /// Between two points, on the straight line from one to the other.
    At(f64),
    /// Right of the last point, which stands here.
    Above(f64),
}

/// Where the line through `points`, from left to right, first reaches `height`.
///
/// # Panics
/// Without points.
pub fn crossing(points: &[(f64, f64)], height: f64) -> Crossing {
    let (first, last) = (points[0], points[points.len() - 1]);
    if first.1 >= height {
        return Crossing::Below(first.0);
    }
    for pair in points.windows(2) {
        let ((left, low), (right, high)) = (pair[0], pair[1]);
        if high >= height {
            return Crossing::At(left + (right - left) * (height - low) / (high - low));
        }
    }
    Crossing::Above(last.0)
}

impl fmt::Display for Crossing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Crossing::Below(first) => write!(f, "below {first:.0}"),
            Crossing::At(x) => write!(f, "{x:.0}"),
            Crossing::Above(last) => write!(f, "above {last:.0}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_height_is_found_between_the_points_around_it() {
        let points = [(4.0, 1.0), (8.0, 2.0), (16.0, 6.0)];
        assert_eq!(crossing(&points, 4.0), Crossing::At(12.0));
        assert_eq!(crossing(&points, 0.5), Crossing::Below(4.0));
        assert_eq!(crossing(&points, 7.0).to_string(), "above 16");
    }

    #[test]
    fn a_dip_between_points_does_not_hide_the_first_crossing() {
        assert_eq!(crossing(&[(0.0, 0.0), (1.0, 2.0), (2.0, 1.0), (3.0, 4.0)], 2.0), Crossing::At(1.0));
    }
}
