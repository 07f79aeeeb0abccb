// Objects of the host, lent for the duration of a call: the aligner, the encoder, training sequences, the log.
#pragma once

#include <atomic>
#include <utility>

#include "szar/data.hpp"

SZAR_NAMESPACE_BEGIN

/// How much a line in the log matters.
enum class Level : uint32_t { error = 1, warning = 2, info = 3, debug = 4, trace = 5 };

namespace detail {
inline std::atomic<const SzarHost *> HOST{nullptr};
inline std::atomic<const SzarPlugin *> SELF{nullptr};

/// Arguments as a table that lives while this does.
class Arguments {
 public:
  Arguments(const Json &json, const NamedTensors &tensors, const Anchors *anchors)
      : json_(json.is_null() ? std::string() : json.dump()) {
    for (const auto &[name, value] : tensors) named_.push_back({str(name), lend(value)});
    if (anchors != nullptr) anchors_ = anchors->table();
    table_ = {sizeof(SzarArgs), str(json_), named_.data(), named_.size(), anchors_ ? &*anchors_ : nullptr, nullptr};
  }
  Arguments(const Arguments &) = delete;
  Arguments &operator=(const Arguments &) = delete;

  const SzarArgs *table() const { return &table_; }

 private:
  std::string json_;
  std::vector<SzarNamed> named_;
  std::optional<SzarAnchors> anchors_;
  SzarArgs table_{};
};
}  // namespace detail

/// One line for the log of the host; `szar -v` shows more of them.
inline void log(Level level, const std::string &message) {
  const SzarHost *host = detail::HOST.load();
  if (host == nullptr || !host->enabled(host->context, static_cast<uint32_t>(level))) return;
  const SzarPlugin *self = detail::SELF.load();
  host->log(host->context, static_cast<uint32_t>(level), self == nullptr ? SzarStr{} : self->name, detail::str(message));
}

/// The aligner of the pipeline: scores features against anchors.
class LentAligner {
 public:
  explicit LentAligner(SzarAlignerRef own) : own_(own) {
    if (own.table == nullptr || own.table->object == nullptr) throw std::invalid_argument("the aligner is missing");
  }

  /// Logits `[B, C]` of features `[B, N, T', V']` against anchors. Gradients flow where the requirements of the
  /// configuration asked for them.
  at::Tensor score(const at::Tensor &features, const Anchors &anchors) const {
    expect("features", features, {-1, -1, -1, -1});
    const SzarAnchors table = anchors.table();
    const auto answer =
        detail::collect([&](const SzarOut *out) { return own_.table->score(own_.object, lend(features), &table, out); });
    if (!answer) throw std::runtime_error("this aligner cannot score");
    return answer->tensor("logits");
  }

  /// What of the features the aligner reads, `[B, ...]`: to keep and score again; the features where it is all of them.
  at::Tensor condense(const at::Tensor &features) const {
    const auto answer = call("condense", Json(), {{"features", features}});
    return answer ? answer->tensor("rows") : features;
  }

  /// Scores what `condense` gave.
  at::Tensor score_condensed(const at::Tensor &rows, const Anchors &anchors) const {
    const auto answer = call("score_condensed", Json(), {{"rows", rows}}, &anchors);
    return answer ? answer->tensor("logits") : score(rows, anchors);
  }

  /// One vector per sample, `[B, e]`, and per class, `[C, e]`, in a common space; needs the requirement
  /// `visual_embeddings`.
  std::pair<at::Tensor, at::Tensor> embed(const at::Tensor &features, const Anchors &anchors) const {
    const auto answer = call("embed", Json(), {{"features", features}}, &anchors);
    if (!answer) throw std::runtime_error("this aligner has no embeddings");
    return {answer->tensor("visual"), answer->tensor("classes")};
  }

  /// Any other method by name (see the header of the tables); nothing where the aligner has none of that name.
  std::optional<detail::Collected> call(std::string_view method, const Json &json, const NamedTensors &tensors,
                                        const Anchors *anchors = nullptr) const {
    const detail::Arguments args(json, tensors, anchors);
    return detail::collect([&](const SzarOut *out) {
      return own_.table->object->call(own_.object, detail::str(method), args.table(), out);
    });
  }

 private:
  SzarAlignerRef own_;
};

/// Features of a batch, and logits over the seen classes from encoders that classify.
struct Encoding {
  at::Tensor features;               ///< `[B, N, T', V']` f32
  std::optional<at::Tensor> logits;  ///< `[B, S]` f32
};

/// The encoder of the pipeline.
class LentEncoder {
 public:
  explicit LentEncoder(SzarEncoderRef own) : own_(own) {}

  /// Features of a batch.
  Encoding encode(const Skeletons &batch) const {
    const SzarSkeletons table = batch.table();
    const auto answer =
        detail::collect([&](const SzarOut *out) { return own_.table->encode(own_.object, &table, out); });
    if (!answer) throw std::runtime_error("this encoder cannot encode");
    Encoding own{answer->tensor("features"), std::nullopt};
    for (const auto &[name, value] : answer->tensors) {
      if (name == "logits") own.logits = value;
    }
    return own;
  }

 private:
  SzarEncoderRef own_;
};

/// What an adapter sees of the stream; never a label. Valid during the call, but for the tensors, which may be kept.
struct Observation {
  at::Tensor features;                 ///< `[B, N, T', V']`
  at::Tensor logits;                   ///< `[B, C]`, of the aligner or the adapter before
  std::vector<Sample> samples;         ///< `[B]`
  std::optional<Skeletons> skeletons;  ///< for adapters whose requirements say so
  std::optional<LentEncoder> encoder;  ///< of these skeletons
};

/// Labelled sequences of seen classes, loaded on demand.
class Sequences {
 public:
  explicit Sequences(const SzarSequences *table) : table_(table) {
    if (table == nullptr) throw std::invalid_argument("the sequences of a fit are missing");
    labels = borrow(table->labels);
    classes = detail::classes(detail::parse("the classes", detail::view(table->classes)));
  }

  at::Tensor labels;  ///< `[n]` i64, columns of `classes`
  Classes classes;    ///< the seen ones

  size_t size() const { return static_cast<size_t>(labels.size(0)); }

  /// The sequences at these places.
  Skeletons batch(const std::vector<uint64_t> &places) const {
    Taken taken;
    const auto call = [&](const SzarOut *out) {
      return table_->batch(table_->context, places.data(), places.size(), &taken, keep, out);
    };
    if (!detail::collect(call)) throw std::runtime_error("these sequences cannot be read");
    if (!taken.batch) throw std::runtime_error(taken.error);
    return *taken.batch;
  }

 private:
  struct Taken {
    std::optional<Skeletons> batch;
    const char *error = "gave no sequences";
  };

  static void keep(void *into, const SzarSkeletons *batch) noexcept {
    auto &taken = *static_cast<Taken *>(into);
    try {
      taken.batch = Skeletons::read(batch);
    } catch (...) {
      taken.error = "gave sequences that cannot be read";
    }
  }

  const SzarSequences *table_;
};

/// The surroundings of a fit.
class FitContext {
 public:
  at::Device device = at::kCPU;
  uint64_t seed = 0;

  /// A stage of `total` steps begins, for the progress bar.
  void begin(const std::string &stage, uint64_t total) const {
    look();
    work_->begin(work_->context, detail::str(stage), total);
  }

  /// `done` of them are finished. Throws Cancelled when the run was asked to stop: call it every few seconds.
  void advance(uint64_t done, const std::string &note = {}) const {
    look();
    work_->advance(work_->context, done, detail::str(note));
  }

  /// The stage is over.
  void end() const { work_->end(work_->context); }

  explicit FitContext(const SzarArgs &args) : work_(args.work) {
    if (work_ == nullptr) throw std::invalid_argument("the surroundings of a fit are missing");
    const Json given = detail::parse("the surroundings of a fit", detail::view(args.json));
    device = detail::device(given.at("device"));
    seed = given.at("seed");
  }

 private:
  void look() const {
    if (work_->cancelled(work_->context)) throw Cancelled();
  }

  const SzarWork *work_;
};

SZAR_NAMESPACE_END
