// What an author implements: a configuration (options, facts, how to build) and the runtime part of its kind.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "szar/lent.hpp"
#include "szar/options.hpp"

SZAR_NAMESPACE_BEGIN

/// A test-time adapter. One object is used by one thread at a time. Anything thrown becomes an error of the run that
/// names the plugin, the component and the call.
class Adapter {
 public:
  virtual ~Adapter() = default;

  /// Starts a stream: allocates the state, forgets any earlier stream.
  virtual void begin(const Task &task) = 0;

  /// One online step: logits `[B, C]` f32 of the batch. Where the configuration says `per_sample`, a batch of B gives what
  /// B single steps give, in order.
  virtual at::Tensor step(const Observation &seen, const LentAligner &model) = 0;

  /// Everything needed to go on later, bit for bit. Give copies of what later steps change in place.
  virtual NamedTensors snapshot() const = 0;

  /// Goes on from a snapshot of the same task, after `begin`.
  virtual void restore(const NamedTensors &state) = 0;

  /// Does the method score the finished stream a second time?
  virtual bool wants_second_pass() const { return false; }

  /// Scores a batch of the finished stream again without updating.
  virtual at::Tensor rescore(const Observation &, const LentAligner &) {
    throw std::runtime_error("this adapter has no second pass");
  }

  /// What it remembers now; empty for methods without a memory.
  virtual std::vector<Held> held() const { return {}; }

  /// The anchors as they are now, `[S, C, G, d]`, from methods that move them.
  virtual std::optional<at::Tensor> moved_anchors() const { return std::nullopt; }

  /// Numbers about the state for the report: per class (`[C]`) or scalar (one value).
  virtual std::map<std::string, std::vector<double>> diagnostics() const { return {}; }

  /// Bytes of state held, now.
  virtual uint64_t state_bytes() const { return 0; }
};

/// What a fit reports.
struct FitSummary {
  uint32_t epochs = 0;                  ///< run; 0 for closed forms
  uint32_t best_epoch = 0;              ///< whose weights were kept, from 1
  std::vector<double> train_loss;       ///< per epoch
  std::vector<double> validation;       ///< measure per epoch
  std::string validation_measure;       ///< `loss` or `top1` (percent)
  std::map<std::string, double> chosen; ///< constants chosen on the way
};

/// A skeleton encoder. One object is used by one thread at a time.
class Encoder {
 public:
  virtual ~Encoder() = default;

  /// What it gives.
  virtual EncoderSpec spec() const = 0;

  /// Features of a batch, in evaluation mode and without gradients, on the device of the joints.
  virtual Encoding encode(const Skeletons &batch) const = 0;

  /// Trains on seen classes; the validation part may be empty.
  virtual FitSummary fit(const Sequences &train, const Sequences &validation, const FitContext &context) = 0;

  /// All parameters and buffers by name.
  virtual NamedTensors state() const = 0;

  /// Takes over what `state` gave.
  virtual void load_state(const NamedTensors &state) = 0;
};

/// What an aligner offers and needs.
struct Capabilities {
  bool map = false;                                    ///< needs the spatio-temporal map; pooled features do otherwise
  std::vector<std::string> granularities = {"global"}; ///< texts it uses, by name
  bool differentiable_in_anchors = false;              ///< `score` carries gradients to the anchors
  bool differentiable_in_features = false;             ///< `score` carries gradients to the features
  bool visual_embeddings = false;                      ///< has `embed`
};

/// Features of seen classes with their labels.
struct SeenSet {
  at::Tensor features;  ///< `[n, N, T', V']`
  at::Tensor labels;    ///< `[n]` i64, rows of the anchors
};

/// An aligner: scores features against semantic anchors. One object is used by one thread at a time.
class Aligner {
 public:
  virtual ~Aligner() = default;

  /// What it offers and needs; the same as the configuration says.
  virtual Capabilities capabilities() const = 0;

  /// Trains on seen classes, given their anchors; the validation part may be empty.
  virtual FitSummary fit(const SeenSet &train, const SeenSet &validation, const Anchors &anchors,
                         const FitContext &context) = 0;

  /// Logits `[B, C]` f32 of features `[B, N, T', V']` against anchors of any C classes.
  virtual at::Tensor score(const at::Tensor &features, const Anchors &anchors) const = 0;

  /// One vector per sample, `[B, e]`, and per class, `[C, e]`, in a common space.
  virtual std::pair<at::Tensor, at::Tensor> embed(const at::Tensor &, const Anchors &) const {
    throw std::runtime_error("this aligner has no embeddings");
  }

  /// All parameters and buffers by name.
  virtual NamedTensors state() const = 0;

  /// Takes over what `state` gave.
  virtual void load_state(const NamedTensors &state) = 0;
};

/// A remark that every report of the run carries.
struct Mark {
  bool uses_test_labels = false;  ///< true when test labels reached anything but the final count
  std::string text;               ///< one sentence
};

/// Options of a component; a member per option, with its default.
class Config {
 public:
  virtual ~Config() = default;

  /// Names each option once.
  virtual void fields(Fields &) {}

  /// Judges the options beyond the limits of the fields; touches nothing.
  virtual void validate(Problems &) const {}

  /// Remarks for the report.
  virtual std::vector<Mark> marks() const { return {}; }
};

/// What an adapter cannot do without; texts are the reason, empty for "not needed".
struct Requirements {
  std::string feature_map;  ///< the spatio-temporal map
  std::string skeletons;    ///< the skeletons and the encoder
  bool parts = false;       ///< body parts of the layout
  bool differentiable_in_anchors = false;
  bool differentiable_in_features = false;
  bool visual_embeddings = false;
  bool node_embeddings = false;
  bool tokens = false;
  size_t batch = 0;  ///< samples in a step to do anything; 0 and 1 are any
};

/// Options of an adapter.
class AdapterConfig : public Config {
 public:
  /// What it cannot do without.
  virtual Requirements requirements() const { return {}; }

  /// Does a sample get the same answer however the stream is cut into batches?
  virtual bool per_sample() const { return true; }

  /// Does the adapter keep the streams of a task apart itself? Otherwise one is built per stream.
  virtual bool holds_streams() const { return false; }

  /// The runtime part.
  virtual std::unique_ptr<Adapter> build(const BuildContext &context) const = 0;
};

/// Options of an encoder.
class EncoderConfig : public Config {
 public:
  /// What it will give for an input.
  virtual EncoderSpec spec(const InputSpec &input) const = 0;

  /// Is there anything to fit? False for an encoder that comes with its weights and takes no others.
  virtual bool trains() const { return true; }

  /// File with trained weights; empty when the encoder is to be fitted.
  virtual std::filesystem::path weights() const { return {}; }

  /// The runtime part.
  virtual std::unique_ptr<Encoder> build(const InputSpec &input, const BuildContext &context) const = 0;
};

/// Options of an aligner.
class AlignerConfig : public Config {
 public:
  /// What it offers and needs.
  virtual Capabilities capabilities() const { return {}; }

  /// Width of the anchors it was made for; nothing for any.
  virtual std::optional<int64_t> width() const { return std::nullopt; }

  /// File with trained weights; empty when the aligner is to be fitted.
  virtual std::filesystem::path weights() const { return {}; }

  /// The runtime part, for features of this form and G texts of d numbers each.
  virtual std::unique_ptr<Aligner> build(const EncoderSpec &features, const std::vector<std::string> &granularities,
                                         int64_t width, const BuildContext &context) const = 0;
};

SZAR_NAMESPACE_END
