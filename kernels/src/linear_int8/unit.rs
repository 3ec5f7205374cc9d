//! Which instructions multiply the bytes.

use crate::isa::Isa;

/// Instructions for products of bytes, narrowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// What the compiler makes of loops.
    Portable,
    /// `smull` and `smlal` of NEON.
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// `sdot` (Armv8.2's dot products).
    #[cfg(target_arch = "aarch64")]
    DotProd,
    /// `vpmaddubsw` of AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// `vpdpbusd` on 256-bit vectors (AVX-VNNI).
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    /// `vpdpbusd` on 512-bit vectors (AVX-512 VNNI).
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    /// The matrix unit (AMX), which takes weights with their sign.
    #[cfg(target_arch = "x86_64")]
    Amx,
}

impl Unit {
    /// Every one, narrowest first.
    pub const ALL: &'static [Unit] = &[
        Unit::Portable,
        #[cfg(target_arch = "aarch64")]
        Unit::Neon,
        #[cfg(target_arch = "aarch64")]
        Unit::DotProd,
        #[cfg(target_arch = "x86_64")]
        Unit::Avx2,
        #[cfg(target_arch = "x86_64")]
        Unit::AvxVnni,
        #[cfg(target_arch = "x86_64")]
        Unit::Avx512Vnni,
        #[cfg(target_arch = "x86_64")]
        Unit::Amx,
    ];

    /// The widest that this processor has within [`Isa::active`] and that `m` rows are enough for.
    pub fn active(m: usize) -> Unit {
        let within =
            |unit: &Unit| unit.isa() <= Isa::active() && m >= unit.least_rows() && unit.is_available();
        Unit::ALL.iter().copied().rfind(within).unwrap_or(Unit::Portable)
    }

    /// The instruction set that it belongs to.
    fn isa(self) -> Isa {
        match self {
            Unit::Portable => Isa::Scalar,
            #[cfg(target_arch = "aarch64")]
            Unit::Neon | Unit::DotProd => Isa::Neon,
            #[cfg(target_arch = "x86_64")]
            Unit::Avx2 | Unit::AvxVnni => Isa::Avx2,
            #[cfg(target_arch = "x86_64")]
            Unit::Avx512Vnni => Isa::Avx512,
            #[cfg(target_arch = "x86_64")]
            Unit::Amx => Isa::Amx,
        }
    }

    /// Rows of `x` below which a narrower one is quicker.
    fn least_rows(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Unit::Amx => 16,
            _ => 0,
        }
    }

    /// Whether weights are needed as bytes with their sign, which [`Unit::expand`] writes.
    pub fn takes_signed(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Unit::Amx => true,
            _ => false,
        }
    }

    /// Whether this processor has it.
    pub fn is_available(self) -> bool {
        match self {
            Unit::Portable => true,
            #[cfg(target_arch = "aarch64")]
            Unit::Neon => Isa::Neon.is_available(),
            #[cfg(target_arch = "aarch64")]
            Unit::DotProd => Isa::Neon.is_available() && std::arch::is_aarch64_feature_detected!("dotprod"),
            #[cfg(target_arch = "x86_64")]
            Unit::Avx2 => Isa::Avx2.is_available(),
            #[cfg(target_arch = "x86_64")]
            Unit::AvxVnni => Isa::Avx2.is_available() && is_x86_feature_detected!("avxvnni"),
            #[cfg(target_arch = "x86_64")]
            Unit::Avx512Vnni => Isa::Avx512.is_available() && is_x86_feature_detected!("avx512vnni"),
            #[cfg(target_arch = "x86_64")]
            Unit::Amx => Isa::Amx.is_available(),
        }
    }
}
