//! Texts of like length share a forward pass, so that little is padded.

use szar_core::Result;
use tch::{Device, Tensor};

/// Encodes tokenised texts, at most `size` at once and without gradients, and writes each vector into its row of
/// `out` (`[n, d]`, on the CPU).
pub(super) fn in_batches(
    ids: &[Vec<i64>],
    size: usize,
    out: &mut Tensor,
    mut encode: impl FnMut(&[&Vec<i64>]) -> Result<Tensor>,
) -> Result<()> {
    let mut order: Vec<usize> = (0..ids.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(ids[*i].len()));
    for batch in order.chunks(size.max(1)) {
        let rows: Vec<_> = batch.iter().map(|i| &ids[*i]).collect();
        let vectors = tch::no_grad(|| encode(&rows))?.to_device(Device::Cpu);
        let at: Vec<i64> = batch.iter().map(|i| *i as i64).collect();
        let _ = out.index_copy_(0, &Tensor::from_slice(&at), &vectors);
    }
    Ok(())
}
