//! EvalPlus's tests (Liu et al. 2023): HumanEval+ and MBPP+ hold many more inputs for the same problems.
//!
//! Their tests compare floating-point results by NumPy. Where the sandbox's Python has none, four names stand in,
//! for the tests alone: a solution that wants NumPy itself fails there.
//!
//! One published test is mended: that of HumanEval/32 calls `_poly` with its arguments interchanged, so that no
//! solution passes it, the problem's own included.

use crate::Limits;

/// How the tests import it.
const IMPORT: &str = "import numpy as np\n";

/// `allclose` of numbers and of lists of numbers in lists, as NumPy defines it; what has another shape is not close.
const STAND_IN: &str = "try:
    import numpy as np
except ImportError:
    class np:
        class ndarray: pass
        class float64(float): pass
        class float32(float): pass
        @staticmethod
        def allclose(a, b, rtol=1e-05, atol=1e-08):
            if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
                return len(a) == len(b) and all(np.allclose(x, y, rtol, atol) for x, y in zip(a, b))
            if isinstance(a, (list, tuple)):
                return all(np.allclose(x, b, rtol, atol) for x in a)
            if isinstance(b, (list, tuple)):
                return all(np.allclose(a, y, rtol, atol) for y in b)
            return a == b or abs(a - b) <= atol + rtol * abs(b)
";

/// HumanEval/32 as published, and as its own docstring and EvalPlus's evaluator have it.
const INTERCHANGED: (&str, &str) =
    ("_poly(*candidate(*inp), inp) <= 0.0001", "abs(_poly(*inp, candidate(*inp))) <= 0.0001");

/// A test that runs without NumPy as well.
pub fn test(text: &str) -> String {
    text.replacen(IMPORT, STAND_IN, 1).replace(INTERCHANGED.0, INTERCHANGED.1)
}

/// What the problems' own solutions need on a slow machine: 4 GiB (MBPP 255 builds 2 GiB of lists) and two minutes
/// of computing (MBPP 599 takes 34 s on a busy AMD EPYC).
pub fn limits() -> Limits {
    Limits { memory_bytes: 4 << 30, cpu_seconds: 120, wall_seconds: 180.0, ..Limits::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_import_is_tried_and_everything_else_stays() {
        let with = test("\n\nimport numpy as np\n\ndef check(f):\n    import numpy as np\n");
        assert!(with.starts_with("\n\ntry:\n    import numpy as np\nexcept ImportError:\n"));
        assert!(with.ends_with("* abs(b)\n\ndef check(f):\n    import numpy as np\n"));
        assert_eq!(test("assert f() == 1"), "assert f() == 1");
        let mended = test("assert _poly(*candidate(*inp), inp) <= 0.0001");
        assert_eq!(mended, "assert abs(_poly(*inp, candidate(*inp))) <= 0.0001");
    }
}
