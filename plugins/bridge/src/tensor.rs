//! Tensors as handles. A handle and a tensor of tch are the same pointer, to libtorch's tensor object.

use szar_plugin_abi as abi;
use tch::Tensor;

/// A handle for the duration of a call.
pub fn lend(tensor: &Tensor) -> abi::Tensor {
    tensor.as_ptr().cast_mut().cast()
}

/// A handle that the receiver has to free.
pub fn give(tensor: Tensor) -> abi::Tensor {
    let handle = tensor.as_ptr().cast_mut().cast();
    std::mem::forget(tensor);
    handle
}

/// Takes over a handle that was given; `None` for null.
///
/// # Safety
/// The handle is null or a valid one that nobody else frees.
pub unsafe fn take(handle: abi::Tensor) -> Option<Tensor> {
    // SAFETY: promised by the caller.
    (!handle.is_null()).then(|| unsafe { Tensor::from_ptr(handle.cast()) })
}

/// A tensor of one's own that shares the memory of a lent one; `None` for null.
///
/// # Safety
/// The handle is null or valid.
pub unsafe fn borrow(handle: abi::Tensor) -> Option<Tensor> {
    // SAFETY: promised by the caller.
    (!handle.is_null()).then(|| unsafe { Tensor::clone_from_ptr(handle.cast()) })
}

unsafe extern "C" {
    fn aoti_torch_get_layout(tensor: abi::Tensor, layout: *mut i32) -> i32;
    fn aoti_torch_get_device_type(tensor: abi::Tensor, device: *mut i32) -> i32;
    fn aoti_torch_layout_strided() -> i32;
    fn aoti_torch_device_type_meta() -> i32;
}

/// Has it values, in strided memory? What has not makes most operations of tch panic.
pub(crate) fn is_plain(tensor: &Tensor) -> bool {
    let (mut layout, mut device) = (-1, -1);
    // SAFETY: the handle is that of a live tensor, the results are written during the calls.
    unsafe {
        aoti_torch_get_layout(lend(tensor), &raw mut layout) == 0
            && layout == aoti_torch_layout_strided()
            && aoti_torch_get_device_type(lend(tensor), &raw mut device) == 0
            && device != aoti_torch_device_type_meta()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::kind::FLOAT_CPU;

    #[test]
    fn a_tensor_survives_the_way_there_and_back() {
        let tensor = Tensor::arange(6, FLOAT_CPU);
        // SAFETY: the handles are of live tensors, and the given one is taken once.
        unsafe {
            let shared = borrow(lend(&tensor)).unwrap();
            assert_eq!(shared.data_ptr(), tensor.data_ptr());
            let moved = take(give(shared)).unwrap();
            assert!(moved.equal(&tensor));
            assert!(take(std::ptr::null_mut()).is_none() && borrow(std::ptr::null_mut()).is_none());
        }
    }

    #[test]
    fn both_sides_see_one_libtorch() {
        // SAFETY: a function without arguments.
        let version = unsafe { crate::aoti_torch_abi_version() };
        assert_eq!((version >> 56, (version >> 48) & 0xff), (2, 11));
    }
}
