// What crosses as data: classes, anchors, skeletons, tasks, observations.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "szar/call.hpp"

SZAR_NAMESPACE_BEGIN

/// Classes in the order of the logits' columns.
struct Classes {
  std::vector<int64_t> ids;
  std::vector<std::string> names;

  size_t size() const { return ids.size(); }
};

/// What an encoder gives.
struct EncoderSpec {
  int64_t channels = 0;     ///< N
  int64_t frames = 1;       ///< T'; 1 when pooled
  int64_t joints = 1;       ///< V'; 1 when pooled
  bool classifies = false;  ///< does it also classify the seen classes?
};

/// Semantic anchors of classes.
class Anchors {
 public:
  at::Tensor values;  ///< `[C, G, d]`

  /// The C classes.
  Classes classes() const;
  /// Names of the G texts of each class.
  std::vector<std::string> granularities() const;
  /// The texts of one granularity, `[C, d]`. Throws when there is none of that name.
  at::Tensor granularity(const std::string &name) const {
    const auto names = granularities();
    for (size_t i = 0; i < names.size(); ++i) {
      if (names[i] == name) return values.select(1, static_cast<int64_t>(i));
    }
    throw std::invalid_argument("the anchors have no text `" + name + "`");
  }

  /// The same classes with other values of the same shape.
  Anchors with(at::Tensor other) const {
    expect("anchors", other, values.sizes());
    Anchors moved(*this);
    moved.values = std::move(other);
    return moved;
  }

  // Read from a table, and written as one that lives while this does.
  static Anchors read(const SzarAnchors *table) {
    if (table == nullptr) throw std::invalid_argument("the anchors are missing");
    Anchors own;
    own.values = borrow(table->values);
    own.token_ = table->token;
    own.described_ = detail::view(table->described);
    return own;
  }
  SzarAnchors table() const {
    return {sizeof(SzarAnchors), lend(values), token_, detail::str(described_)};
  }

 private:
  uint64_t token_ = 0;
  std::string described_;
};

/// A batch of skeletons.
class Skeletons {
 public:
  at::Tensor joints;             ///< `[B, C, T, V, M]` f32, metres; C is 3 (x, y, z)
  at::Tensor frames;             ///< `[B]` i64, frames of each sequence
  std::vector<uint8_t> present;  ///< `[B * M]`, 1 where there is a person

  /// The skeleton's layout: `name`, `joints`, `bones`, `centre`, `spine`, `shoulders`, `mirror`, `parts`.
  Json layout() const { return detail::parse("the layout", layout_); }

  // Read from a table, and written as one that lives while this does.
  static Skeletons read(const SzarSkeletons *table) {
    if (table == nullptr) throw std::invalid_argument("the skeletons are missing");
    Skeletons own;
    own.joints = borrow(table->joints);
    own.frames = borrow(table->frames);
    expect("joints", own.joints, {-1, -1, -1, -1, -1});
    expect("frames", own.frames, {own.joints.size(0)});
    const auto count = static_cast<size_t>(own.joints.size(0) * own.joints.size(4));
    if (table->present_len != count || (count > 0 && table->present == nullptr)) {
      throw std::invalid_argument(std::to_string(table->present_len) + " marks of who is present, expected " +
                                  std::to_string(count));
    }
    own.present.assign(table->present, table->present + count);
    own.token_ = table->token;
    own.layout_ = detail::view(table->layout);
    return own;
  }
  SzarSkeletons table() const {
    return {sizeof(SzarSkeletons), lend(joints),    lend(frames), present.data(),
            present.size(),        token_,          detail::str(layout_)};
  }

 private:
  uint64_t token_ = 0;
  std::string layout_;
};

/// Form of the sequences that an encoder is built for.
struct InputSpec {
  Json layout;                ///< see Skeletons::layout
  int64_t joints = 0;         ///< V
  int64_t frames = 0;         ///< T
  int64_t persons = 0;        ///< M
  int64_t seen_classes = 0;   ///< S
};

/// Where a component is built.
struct BuildContext {
  at::Device device = at::kCPU;
  uint64_t seed = 0;
  std::filesystem::path cache;  ///< folder for what may be kept between runs
};

/// What an adapter is told before a stream begins.
struct Task {
  Classes candidates;              ///< C of them, in the order of the logits' columns
  std::vector<bool> seen;          ///< `[C]`, which of them are seen classes
  Anchors anchors;                 ///< theirs
  EncoderSpec features;            ///< form of the features
  Json layout;                     ///< see Skeletons::layout
  at::Device device = at::kCPU;    ///< of all tensors
  uint64_t seed = 0;               ///< of this stream
  size_t streams = 1;              ///< independent streams whose samples come mixed
  uint64_t expected = 0;           ///< samples that are expected, all streams together; 0 when nobody knows
};

/// Which sample of which stream.
using Sample = SzarSample;

/// A sample that an adapter remembers, and the column of the class it is remembered for.
struct Held {
  Sample sample{};
  size_t column = 0;
};

namespace detail {

inline Classes classes(const Json &from) {
  return {from.at("ids").get<std::vector<int64_t>>(), from.at("names").get<std::vector<std::string>>()};
}

inline EncoderSpec spec(const Json &from) {
  return {from.at("channels"), from.at("frames"), from.at("joints"), from.at("classifies")};
}

inline Json json(const EncoderSpec &spec) {
  return {{"channels", spec.channels}, {"frames", spec.frames}, {"joints", spec.joints}, {"classifies", spec.classifies}};
}

inline InputSpec input(const Json &from) {
  const Json &layout = from.at("layout");
  return {layout, static_cast<int64_t>(layout.at("joints").size()), from.at("frames"), from.at("persons"),
          from.at("seen_classes")};
}

inline at::Device device(const Json &from) { return at::Device(from.get<std::string>()); }

inline Task task(const SzarArgs &args) {
  const Json from = parse("the task", view(args.json));
  Task own;
  own.candidates = classes(from.at("candidates"));
  own.seen = from.at("seen").get<std::vector<bool>>();
  own.anchors = Anchors::read(args.anchors);
  own.features = spec(from.at("features"));
  own.layout = from.at("layout");
  own.device = device(from.at("device"));
  own.seed = from.at("seed");
  own.streams = from.at("streams");
  own.expected = from.at("expected");
  return own;
}

}  // namespace detail

inline Classes Anchors::classes() const {
  return detail::classes(detail::parse("the classes", described_).at("classes"));
}

inline std::vector<std::string> Anchors::granularities() const {
  return detail::parse("the granularities", described_).at("granularities").get<std::vector<std::string>>();
}

SZAR_NAMESPACE_END
