// Calls across the boundary: results given and collected, exceptions turned into messages and back.
#pragma once

#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "szar/tensor.hpp"

SZAR_NAMESPACE_BEGIN

/// JSON that keeps the order of keys.
using Json = nlohmann::ordered_json;

/// Thrown to stop a computation that was asked to stop; the run ends as after Ctrl-C and can be resumed.
struct Cancelled : std::exception {
  const char *what() const noexcept override { return "it was asked to stop"; }
};

namespace detail {

inline SzarStr str(std::string_view text) {
  return {reinterpret_cast<const uint8_t *>(text.data()), text.size()};
}

inline std::string_view view(SzarStr text) {
  if (text.len == 0) return {};
  if (text.data == nullptr) throw std::invalid_argument("a text is missing");
  return {reinterpret_cast<const char *>(text.data), text.len};
}

inline Json parse(const char *what, std::string_view text) {
  try {
    return Json::parse(text);
  } catch (const std::exception &error) {
    throw std::invalid_argument(std::string(what) + " cannot be read: " + error.what());
  }
}

/// Where a function that was called puts its results.
class Sink {
 public:
  explicit Sink(const SzarOut *out) : out_(out) {}

  void text(std::string_view text) const { out_->text(out_->context, str(text)); }
  void json(const Json &value) const { text(value.dump()); }
  void error(std::string_view message) const noexcept { out_->error(out_->context, str(message)); }

  void tensor(std::string_view name, const at::Tensor &tensor) const {
    if (!tensor.defined()) throw std::invalid_argument("the tensor `" + std::string(name) + "` is not defined");
    out_->tensor(out_->context, str(name), give(tensor));
  }

  void tensors(const NamedTensors &all) const {
    for (const auto &[name, value] : all) tensor(name, value);
  }

 private:
  const SzarOut *out_;
};

/// Runs the body of an exported function: whatever it throws becomes a status and a message.
template <class Body>
SzarStatus guard(const SzarOut *out, Body body) noexcept {
  if (out == nullptr) return SZAR_FAILED;
  const Sink sink(out);
  try {
    return body(sink);
  } catch (const Cancelled &) {
    return SZAR_CANCELLED;
  } catch (const c10::Error &error) {
    sink.error(error.what_without_backtrace());
  } catch (const std::exception &error) {
    sink.error(error.what());
  } catch (...) {
    sink.error("threw what is no std::exception");
  }
  return SZAR_FAILED;
}

/// What a call of the other side gave back.
struct Collected {
  std::optional<std::string> text;
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  std::optional<std::string> error;

  at::Tensor tensor(std::string_view name) const {
    for (const auto &[own, value] : tensors) {
      if (own == name) return value;
    }
    throw std::runtime_error("gave no tensor `" + std::string(name) + "`");
  }

  Json json() const {
    if (!text) throw std::runtime_error("gave no text");
    return parse("the answer", *text);
  }
};

/// Nothing may leave these: the caller is of another language.
inline void on_text(void *context, SzarStr text) noexcept {
  try {
    static_cast<Collected *>(context)->text = std::string(view(text));
  } catch (...) {
  }
}

inline void on_tensor(void *context, SzarStr name, AtenTensorHandle handle) noexcept {
  auto &own = *static_cast<Collected *>(context);
  try {
    own.tensors.emplace_back(std::string(view(name)), take(handle));
  } catch (...) {
    own.error = "gave a tensor that is null";
  }
}

inline void on_error(void *context, SzarStr message) noexcept {
  try {
    static_cast<Collected *>(context)->error = std::string(view(message));
  } catch (...) {
  }
}

/// Calls the other side; nothing when it has no such method, an exception when it failed.
template <class Call>
std::optional<Collected> collect(Call call) {
  Collected own;
  const SzarOut out{sizeof(SzarOut), &own, on_text, on_tensor, on_error};
  switch (const SzarStatus status = call(&out)) {
    case SZAR_OK:
      if (own.error) throw std::runtime_error(*own.error);
      return own;
    case SZAR_UNSUPPORTED:
      return std::nullopt;
    case SZAR_CANCELLED:
      throw Cancelled();
    case SZAR_FAILED:
      throw std::runtime_error(own.error.value_or("failed without a reason"));
    default:
      throw std::runtime_error("returned the unknown status " + std::to_string(status));
  }
}

inline NamedTensors named(const SzarNamed *tensors, size_t count) {
  NamedTensors all;
  for (size_t i = 0; tensors != nullptr && i < count; ++i) {
    all[std::string(view(tensors[i].name))] = borrow(tensors[i].tensor);
  }
  return all;
}

}  // namespace detail

SZAR_NAMESPACE_END
