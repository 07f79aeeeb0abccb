// `joint-moments`: mean, spread and mean speed of every joint relative to the middle of the spine, brought to one scale
// by what they are on the training set, and mixed by a fixed random projection. Nothing is trained.
//
//   s = [mean_t x, std_t x, mean_t |x_{t+1} - x_t|] over the frames of a sequence, averaged over its persons
//   f = W (s - mu) / sigma,   W ~ N(0, 1/k) from the seed of the run,   mu and sigma of the training set
//
// | symbol | here  | shape       | meaning                        |
// |--------|-------|-------------|--------------------------------|
// | x      | own   | `[3, T, V]` | joints relative to the spine   |
// | s      | found | `[B, k]`    | statistics, k = 7 V            |
// | f      |       | `[B, N]`    | features, N = `channels`       |
#include <algorithm>

#include <ATen/CPUGeneratorImpl.h>

#include "szar/plugin.hpp"

namespace {

/// Mean and spread of 3 coordinates, and the mean speed.
constexpr int64_t STATISTICS = 7;
/// Sequences read at once in a fit.
constexpr uint64_t BATCH = 64;
/// Spread below which a statistic counts as constant, metres.
constexpr double CONSTANT = 1e-6;

class JointMoments : public szar::Encoder {
 public:
  JointMoments(const szar::InputSpec &input, int64_t channels, const szar::BuildContext &context)
      : joints_(input.joints), spine_(input.layout.at("spine").get<int64_t>()) {
    const int64_t statistics = STATISTICS * joints_;
    auto random = at::make_generator<at::CPUGeneratorImpl>(context.seed);
    projection_ = (at::randn({channels, statistics}, random) / std::sqrt(static_cast<double>(statistics))).to(context.device);
    mean_ = at::zeros({statistics}, projection_.options());
    spread_ = at::ones({statistics}, projection_.options());
  }

  szar::EncoderSpec spec() const override { return {projection_.size(0), 1, 1, false}; }

  szar::Encoding encode(const szar::Skeletons &batch) const override {
    const szar::NoGrad no_grad;
    const auto scaled = (statistics(batch) - mean_) / spread_;
    return {at::matmul(scaled, projection_.t()).unsqueeze(2).unsqueeze(3), std::nullopt};
  }

  szar::FitSummary fit(const szar::Sequences &train, const szar::Sequences &, const szar::FitContext &context) override {
    const szar::NoGrad no_grad;
    if (train.size() == 0) throw std::invalid_argument("there is no sequence to take the scale from");
    const uint64_t total = train.size();
    std::vector<at::Tensor> found;
    context.begin("statistics", total);
    for (uint64_t first = 0; first < total; first += BATCH) {
      std::vector<uint64_t> places;
      for (uint64_t place = first; place < std::min(total, first + BATCH); ++place) places.push_back(place);
      found.push_back(statistics(train.batch(places)));
      context.advance(first + places.size());
    }
    context.end();
    const auto all = at::cat(found);
    mean_.copy_(all.mean(0));
    const auto spread = all.std(0, /*unbiased=*/false);
    spread_.copy_(at::where(spread > CONSTANT, spread, at::ones_like(spread)));
    return {};
  }

  szar::NamedTensors state() const override {
    return {{"projection", projection_}, {"mean", mean_}, {"spread", spread_}};
  }

  void load_state(const szar::NamedTensors &state) override {
    const szar::NoGrad no_grad;
    projection_.copy_(szar::entry(state, "projection", projection_.sizes()));
    mean_.copy_(szar::entry(state, "mean", mean_.sizes()));
    spread_.copy_(szar::entry(state, "spread", spread_.sizes()));
  }

 private:
  /// `[B, k]` of a batch; absent persons count nothing.
  at::Tensor statistics(const szar::Skeletons &batch) const {
    const auto &joints = batch.joints;
    szar::expect("joints", joints, {-1, 3, -1, joints_, -1});
    const int64_t rows = joints.size(0), frames = joints.size(2), persons = joints.size(4);
    const auto own = joints - joints.narrow(3, spine_, 1);  // [B, 3, T, V, M]
    const auto speed = frames > 1 ? own.diff(1, 2).norm(2, {1}, true).mean(2)
                                  : at::zeros({rows, 1, joints_, persons}, own.options());
    const auto each = at::cat({own.mean(2), own.std({2}, /*unbiased=*/false), speed}, 1);  // [B, 7, V, M]
    const auto marks = at::tensor(at::ArrayRef<uint8_t>(batch.present)).to(own.device(), own.scalar_type());
    const auto present = marks.view({rows, 1, 1, persons});
    const auto mean = (each * present).sum(3) / present.sum(3).clamp_min(1);
    return mean.reshape({rows, STATISTICS * joints_});
  }

  int64_t joints_;
  int64_t spine_;
  at::Tensor projection_;  // `[N, k]`
  at::Tensor mean_;        // `[k]`
  at::Tensor spread_;      // `[k]`
};

class JointMomentsConfig : public szar::EncoderConfig {
 public:
  void fields(szar::Fields &fields) override {
    fields.integer("channels", channels_, "N, channels of the features, 1 to 4096. Default: 256.").between(1, 4096);
  }

  szar::EncoderSpec spec(const szar::InputSpec &) const override { return {channels_, 1, 1, false}; }

  std::unique_ptr<szar::Encoder> build(const szar::InputSpec &input, const szar::BuildContext &context) const override {
    return std::make_unique<JointMoments>(input, channels_, context);
  }

 private:
  int64_t channels_ = 256;
};

}  // namespace

SZAR_PLUGIN("szar-example-cpp-encoder", "0.1.0",
            szar::component<JointMomentsConfig>(
                "joint-moments", "Statistics of the joints' places and speeds through a fixed random projection."))
