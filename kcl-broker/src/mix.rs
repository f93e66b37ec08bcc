//! Scattered bits.

/// What a counter goes on by to give a sequence of numbers (the increment of SplitMix64).
pub(crate) const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Scatters the bits of a counter (the finalizer of SplitMix64).
pub(crate) const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
