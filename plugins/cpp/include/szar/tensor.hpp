// Tensors and their handles. A handle points at a tensor object of the one libtorch of the process, so nothing is copied.
#pragma once

#include <map>
#include <stdexcept>
#include <string>
#include <utility>

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>

#include "szar_plugin.h"

// Hidden, so that two plugins in one process never share what is defined here.
#define SZAR_NAMESPACE_BEGIN namespace szar __attribute__((visibility("hidden"))) {
#define SZAR_NAMESPACE_END }

SZAR_NAMESPACE_BEGIN

/// No gradients are recorded while one of these lives.
using NoGrad = at::NoGradGuard;

/// Tensors by name: state of adapters and encoders.
using NamedTensors = std::map<std::string, at::Tensor>;

/// A tensor of one's own that shares the memory of a lent one.
///
/// Throws std::invalid_argument when the handle is null.
inline at::Tensor borrow(AtenTensorHandle handle) {
  if (handle == nullptr) throw std::invalid_argument("a tensor is missing");
  return *reinterpret_cast<const at::Tensor *>(handle);
}

/// A handle for the duration of a call, while `tensor` lives.
inline AtenTensorHandle lend(const at::Tensor &tensor) {
  return reinterpret_cast<AtenTensorHandle>(const_cast<at::Tensor *>(&tensor));
}

/// A handle that the receiver frees; it shares the memory of `tensor`.
///
/// Throws std::runtime_error when libtorch cannot make one.
inline AtenTensorHandle give(const at::Tensor &tensor) {
  AtenTensorHandle handle = nullptr;
  if (aoti_torch_new_tensor_handle(lend(tensor), &handle) != 0 || handle == nullptr) {
    throw std::runtime_error("libtorch gave no handle for a tensor");
  }
  return handle;
}

/// Takes over a handle that was given.
///
/// Throws std::invalid_argument when the handle is null.
inline at::Tensor take(AtenTensorHandle handle) {
  at::Tensor tensor = borrow(handle);
  aoti_torch_delete_tensor_object(handle);
  return tensor;
}

/// Refuses a tensor whose shape is not `want`, where -1 is any length; the message names it.
inline void expect(const char *what, const at::Tensor &tensor, at::IntArrayRef want) {
  bool fits = tensor.defined() && tensor.dim() == static_cast<int64_t>(want.size());
  for (size_t i = 0; fits && i < want.size(); ++i) {
    fits = want[i] == -1 || want[i] == tensor.size(static_cast<int64_t>(i));
  }
  if (fits) return;
  auto words = [](at::IntArrayRef sizes) {
    std::string text = "[";
    for (size_t i = 0; i < sizes.size(); ++i) {
      text += (i == 0 ? "" : ", ") + (sizes[i] == -1 ? std::string("_") : std::to_string(sizes[i]));
    }
    return text + "]";
  };
  const auto got = tensor.defined() ? words(tensor.sizes()) : std::string("nothing");
  throw std::invalid_argument(std::string("`") + what + "` has shape " + got + ", expected " + words(want));
}

/// The tensor of a name in a state, with the shape it must have; see `expect`.
inline at::Tensor entry(const NamedTensors &state, const std::string &name, at::IntArrayRef want) {
  const auto found = state.find(name);
  if (found == state.end()) throw std::invalid_argument("`" + name + "` is missing in the state");
  expect(name.c_str(), found->second, want);
  return found->second;
}

SZAR_NAMESPACE_END
