//! Two 4-bit codes per byte, the first in the high nibble.

use super::packed_len;

/// Packs codes (0…15) two per byte. With an odd number of codes the last byte's
/// low nibble becomes `pad`.
///
/// # Panics
/// If `packed` is not [`packed_len`]`(codes.len())` long.
pub fn pack(codes: &[u8], pad: u8, packed: &mut [u8]) {
    assert_eq!(packed.len(), packed_len(codes.len()), "packed length for {} codes", codes.len());
    for (byte, pair) in packed.iter_mut().zip(codes.chunks(2)) {
        let low = pair.get(1).copied().unwrap_or(pad);
        *byte = (pair[0] & 15) << 4 | (low & 15);
    }
}

/// The inverse of [`pack`]: writes `codes.len()` codes and ignores a padding nibble.
///
/// # Panics
/// If `packed` is not [`packed_len`]`(codes.len())` long.
pub fn unpack(packed: &[u8], codes: &mut [u8]) {
    assert_eq!(packed.len(), packed_len(codes.len()), "packed length for {} codes", codes.len());
    for (pair, byte) in codes.chunks_mut(2).zip(packed) {
        pair[0] = byte >> 4;
        if let Some(low) = pair.get_mut(1) {
            *low = byte & 15;
        }
    }
}
