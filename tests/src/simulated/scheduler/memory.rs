//! What a model takes of the memory, and what is told of a loaded one. Pure.

use jiff::Timestamp;

/// Tokens of context which take as much memory as the model itself: Llama 3 8B at 4 bits has 4.9 GB and 128 KiB for each
/// token of its cache.
const TOKENS_OF_A_MODEL_SIZE: u128 = 37_500;

/// A model in memory, as `/api/ps` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedModel {
    /// The canonical name.
    pub name: String,
    /// 64 hex digits.
    pub digest: String,
    /// Bytes, its context included.
    pub size: u64,
    /// Those of them that fit into the memory of the GPU.
    pub size_vram: u64,
    /// Tokens of its context.
    pub context_length: u64,
    /// When it will be dropped if nobody uses it.
    pub expires_at: Timestamp,
    /// Requests which hold a slot.
    pub active: usize,
}

/// Bytes of a loaded model: its own, and for each parallel request a context, whose bytes grow with its tokens and with the
/// size of the model.
pub(in crate::simulated) fn footprint(model_bytes: u64, num_ctx: u64, parallelism: usize) -> u64 {
    let tokens = u128::from(num_ctx) * parallelism.max(1) as u128;
    let context = u128::from(model_bytes).saturating_mul(tokens) / TOKENS_OF_A_MODEL_SIZE;
    model_bytes.saturating_add(u64::try_from(context).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wider_or_more_parallel_context_takes_more() {
        assert_eq!(footprint(4_900_000_000, 0, 1), 4_900_000_000);
        assert_eq!(footprint(4_900_000_000, 37_500, 1), 9_800_000_000);
        assert_eq!(footprint(1_000, 3_750, 4), 1_400);
        assert_eq!(footprint(u64::MAX, u64::MAX, usize::MAX), u64::MAX);
    }
}
