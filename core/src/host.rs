//! Tensors as slices: the one place of `core` that looks at a tensor's memory.

use tch::{Device, Kind, Tensor};

use crate::{Error, Result};

/// A contiguous CPU tensor of `f32`, seen as a slice for as long as the view lives.
#[derive(Debug)]
pub struct HostF32(Tensor);

impl HostF32 {
    /// Brings `tensor` to the CPU as contiguous `f32`; costs nothing when it is that already.
    pub fn new(tensor: &Tensor) -> Self {
        if is_plain(tensor) {
            return Self(tensor.shallow_clone());
        }
        Self(tensor.to_device(Device::Cpu).to_kind(Kind::Float).contiguous())
    }

    /// The values, row-major.
    pub fn as_slice(&self) -> &[f32] {
        slice(&self.0)
    }
}

/// The values of a contiguous CPU `f32` tensor. Panics on any other tensor, which is a bug of the caller.
#[expect(unsafe_code, reason = "tch has no safe borrow of a tensor's memory")]
pub fn slice(tensor: &Tensor) -> &[f32] {
    assert_plain(tensor);
    if tensor.numel() == 0 {
        return &[];
    }
    // SAFETY: the tensor is contiguous, of kind f32 and on the CPU (checked above), so `data_ptr` points at
    // `numel` values that live as long as the borrow.
    unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast::<f32>(), tensor.numel()) }
}

/// The values of a contiguous CPU `f32` tensor, to be written in place. Panics on any other tensor.
///
/// The tensor must not share its storage with another one that is in use: write only to tensors you own.
#[expect(unsafe_code, reason = "tch has no safe borrow of a tensor's memory")]
pub fn slice_mut(tensor: &mut Tensor) -> &mut [f32] {
    assert_plain(tensor);
    if tensor.numel() == 0 {
        return &mut [];
    }
    // SAFETY: as in `slice`; the exclusive borrow of the handle stands for the storage, which the caller owns.
    unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast::<f32>(), tensor.numel()) }
}

/// A CPU tensor of this size with these values, row-major, in one allocation. Panics when they are not as many as the size says.
pub fn tensor(values: &[f32], size: &[i64]) -> Tensor {
    let mut tensor = Tensor::empty(size, (Kind::Float, Device::Cpu));
    slice_mut(&mut tensor).copy_from_slice(values);
    tensor
}

fn is_plain(tensor: &Tensor) -> bool {
    tensor.is_contiguous() && tensor.kind() == Kind::Float && tensor.device() == Device::Cpu
}

fn assert_plain(tensor: &Tensor) {
    assert!(
        is_plain(tensor),
        "a slice needs a contiguous f32 tensor on the CPU, got {:?} on {:?}",
        tensor.kind(),
        tensor.device()
    );
}

/// The values of an integer tensor as a vector (one copy, one synchronisation on a GPU).
///
/// # Errors
/// [`Error::Tensor`] when the tensor is not of an integer kind.
pub fn to_i64(tensor: &Tensor) -> Result<Vec<i64>> {
    Vec::<i64>::try_from(tensor.to_kind(Kind::Int64).flatten(0, -1).contiguous()).map_err(Error::from)
}

/// The values of a tensor as `f64` (one copy, one synchronisation on a GPU).
pub fn to_f64(tensor: &Tensor) -> Vec<f64> {
    HostF32::new(tensor)
        .as_slice()
        .iter()
        .map(|v| f64::from(*v))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_a_tensor_of_the_size_and_come_back() {
        let values: Vec<f32> = (0..6u8).map(f32::from).collect();
        let made = tensor(&values, &[2, 3]);
        assert_eq!(made.size(), [2, 3]);
        assert_eq!(HostF32::new(&made).as_slice(), values);
        assert_eq!(
            HostF32::new(&made.transpose(0, 1)).as_slice(),
            [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]
        );
        assert_eq!(tensor(&[], &[0, 3]).size(), [0, 3]);
    }

    #[test]
    fn a_slice_shows_the_values_and_writes_through() {
        let mut t = Tensor::from_slice(&[1.0f32, 2.0, 3.0]);
        slice_mut(&mut t)[1] = 5.0;
        assert_eq!(slice(&t), [1.0, 5.0, 3.0]);
    }

    #[test]
    fn an_empty_tensor_is_an_empty_slice() {
        assert!(
            HostF32::new(&Tensor::zeros([0, 3], tch::kind::FLOAT_CPU))
                .as_slice()
                .is_empty()
        );
    }
}
