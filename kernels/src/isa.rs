//! The instruction set that vector code runs on.
//!
//! Chosen once per process: the widest that the processor has, or the one that the
//! environment variable `CAMELID_ISA` names. Kernels that are written per
//! instruction set branch on [`Isa::active`]; loops that the compiler vectorises go
//! through [`lanes::vectorised`](crate::lanes), which does so for them.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

/// Environment variable that forces an instruction set.
pub const ISA_VARIABLE: &str = "CAMELID_ISA";

/// An instruction set with kernels of its own, narrowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// What the compiler makes of plain loops for the compilation target: SSE2 on x86-64.
    Scalar,
    /// 128-bit vectors with fused multiply-add, which every 64-bit Arm processor has.
    Neon,
    /// 256-bit vectors with fused multiply-add (x86-64-v3).
    Avx2,
    /// 512-bit vectors (x86-64-v4: AVX-512 F, BW, CD, DQ, VL).
    Avx512,
    /// The same with products of bfloat16 pairs (AVX-512 BF16).
    Avx512Bf16,
    /// The same with a matrix unit for bfloat16 and bytes (AMX).
    Amx,
}

impl Isa {
    /// Every instruction set that Camelid knows, narrowest first.
    pub const ALL: [Isa; 6] = [Isa::Scalar, Isa::Neon, Isa::Avx2, Isa::Avx512, Isa::Avx512Bf16, Isa::Amx];

    /// The one that this process uses.
    ///
    /// # Panics
    /// If `CAMELID_ISA` names none, or one that this processor lacks; programs call
    /// [`Isa::from_environment`] at their start and report it.
    pub fn active() -> Isa {
        static ACTIVE: OnceLock<Isa> = OnceLock::new();
        *ACTIVE.get_or_init(|| Isa::from_environment().unwrap_or_else(|error| panic!("{error}")))
    }

    /// What `CAMELID_ISA` names, or the widest that this processor has.
    ///
    /// # Errors
    /// [`IsaError`] when the variable names none of them, or one that is not here.
    pub fn from_environment() -> Result<Isa, IsaError> {
        match std::env::var(ISA_VARIABLE) {
            Err(std::env::VarError::NotPresent) => Ok(Isa::widest()),
            Err(std::env::VarError::NotUnicode(name)) => {
                Err(IsaError::Unknown { name: name.to_string_lossy().into_owned() })
            }
            Ok(name) => {
                let isa: Isa = name.parse()?;
                if isa.is_available() { Ok(isa) } else { Err(IsaError::Missing { isa }) }
            }
        }
    }

    /// The widest instruction set of this processor.
    pub fn widest() -> Isa {
        Isa::available().last().unwrap_or(Isa::Scalar)
    }

    /// The instruction sets of this processor, narrowest first.
    pub fn available() -> impl DoubleEndedIterator<Item = Isa> {
        Isa::ALL.into_iter().filter(|isa| isa.is_available())
    }

    /// Whether this processor has it.
    pub fn is_available(self) -> bool {
        match self {
            Isa::Scalar => true,
            Isa::Neon => cfg!(target_arch = "aarch64"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => pulp::x86::V3::try_new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => pulp::x86::V4::try_new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Bf16 => Isa::Avx512.is_available() && is_x86_feature_detected!("avx512bf16"),
            #[cfg(target_arch = "x86_64")]
            Isa::Amx => Isa::Avx512Bf16.is_available() && crate::amx::is_available(),
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx2 | Isa::Avx512 | Isa::Avx512Bf16 | Isa::Amx => false,
        }
    }

    /// Its name in `CAMELID_ISA`.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Neon => "neon",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            Isa::Avx512Bf16 => "avx512bf16",
            Isa::Amx => "amx",
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Isa {
    type Err = IsaError;

    fn from_str(name: &str) -> Result<Isa, IsaError> {
        Isa::ALL
            .into_iter()
            .find(|isa| isa.name() == name)
            .ok_or_else(|| IsaError::Unknown { name: name.to_owned() })
    }
}

/// `CAMELID_ISA` cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IsaError {
    /// No instruction set has this name.
    #[error("{ISA_VARIABLE} is \"{name}\": expected one of {}", names(Isa::ALL))]
    Unknown {
        /// What the variable holds.
        name: String,
    },
    /// This processor lacks it.
    #[error("{ISA_VARIABLE} is \"{isa}\", which this processor lacks: it has {}", names(Isa::available()))]
    Missing {
        /// What the variable names.
        isa: Isa,
    },
}

fn names(isas: impl IntoIterator<Item = Isa>) -> String {
    isas.into_iter().map(Isa::name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for isa in Isa::ALL {
            assert_eq!(isa.name().parse(), Ok(isa));
        }
        let error = "sse9".parse::<Isa>().unwrap_err().to_string();
        assert!(error.contains("sse9") && error.contains("avx512bf16"), "{error}");
    }

    #[test]
    fn the_widest_is_available_and_scalar_always_is() {
        assert!(Isa::Scalar.is_available());
        assert!(Isa::widest().is_available());
        assert!(Isa::available().is_sorted());
    }

    #[test]
    fn the_unit_tests_pass_on_every_instruction_set() {
        const INSIDE: &str = "CAMELID_TESTS_ON_ONE_ISA";
        if std::env::var_os(INSIDE).is_some() {
            return;
        }
        let binary = std::env::current_exe().expect("the path of this test binary");
        for isa in Isa::available().filter(|&isa| isa != Isa::active()) {
            let run =
                std::process::Command::new(&binary).env(ISA_VARIABLE, isa.name()).env(INSIDE, "1").output();
            let run = run.expect("a test binary starts");
            let said = String::from_utf8_lossy(&run.stdout);
            assert!(run.status.success(), "on {isa}:\n{said}{}", String::from_utf8_lossy(&run.stderr));
        }
    }
}
