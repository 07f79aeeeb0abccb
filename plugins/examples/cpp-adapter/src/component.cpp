// `centred-temperature`: logits less a share of their running mean over the stream, divided by a temperature. With
// `anchors: centred` the logits are those of anchors less their mean over the classes, which the aligner scores anew.
//
//   m_i = mean of z_1 .. z_i of the same stream,   z'_i = (z_i - share m_i) / temperature
//
// | symbol | here        | shape    | meaning                                        |
// |--------|-------------|----------|------------------------------------------------|
// | z      | logits      | `[B, C]` | what the aligner (or the adapter before) says  |
// | m      | sums / last | `[S, C]` | running mean, of each of the S streams         |
//
// Every sample sees itself and those before it in its stream, so the size of a batch changes nothing.
#include "szar/plugin.hpp"

namespace {

class CentredTemperature : public szar::Adapter {
 public:
  CentredTemperature(double share, double temperature, bool rescored)
      : share_(share), temperature_(temperature), rescored_(rescored) {}

  void begin(const szar::Task &task) override {
    classes_ = static_cast<int64_t>(task.candidates.size());
    const auto streams = static_cast<int64_t>(task.streams);
    // One row per stream: sums of the logits, then how many samples there were; in double, summed in the stream's order.
    sums_ = at::zeros({streams, classes_ + 1}, at::TensorOptions(at::kDouble).device(task.device));
    const auto values = task.anchors.values;
    anchors_ = task.anchors.with(values - values.mean(0, true));
    szar::log(szar::Level::debug, "centred-temperature begins with " + std::to_string(streams) + " stream(s)");
  }

  at::Tensor step(const szar::Observation &seen, const szar::LentAligner &model) override {
    const szar::NoGrad no_grad;
    if (!sums_.defined()) throw std::runtime_error("no stream has begun");
    szar::expect("scores", seen.logits, {static_cast<int64_t>(seen.samples.size()), classes_});
    const auto scores = rescored_ ? model.score(seen.features, anchors_) : seen.logits;
    const auto logits = scores.to(at::kDouble);
    auto rows = at::ones({logits.size(0), classes_ + 1}, logits.options());
    rows.narrow(1, 0, classes_).copy_(logits);
    auto so_far = at::empty_like(rows);
    for (size_t i = 0; i < seen.samples.size(); ++i) {
      const auto stream = static_cast<int64_t>(seen.samples[i].stream);
      if (stream >= sums_.size(0)) {
        throw std::out_of_range("a sample of stream " + std::to_string(stream) + ", the task has " +
                                std::to_string(sums_.size(0)));
      }
      sums_[stream] += rows[static_cast<int64_t>(i)];
      so_far[static_cast<int64_t>(i)].copy_(sums_[stream]);
    }
    const auto mean = so_far.narrow(1, 0, classes_) / so_far.narrow(1, classes_, 1);
    return ((logits - mean * share_) / temperature_).to(at::kFloat);
  }

  szar::NamedTensors snapshot() const override { return {{"sums", sums_.clone()}}; }

  void restore(const szar::NamedTensors &state) override {
    if (!sums_.defined()) throw std::runtime_error("no stream has begun");
    sums_.copy_(szar::entry(state, "sums", sums_.sizes()));
  }

  std::map<std::string, std::vector<double>> diagnostics() const override {
    const auto samples = sums_.select(1, classes_).sum().item<double>();
    return {{"samples", {samples}}};
  }

  uint64_t state_bytes() const override { return sums_.defined() ? sums_.nbytes() : 0; }

 private:
  double share_;
  double temperature_;
  bool rescored_;
  int64_t classes_ = 0;
  at::Tensor sums_;  // `[S, C + 1]` f64
  szar::Anchors anchors_;
};

class CentredTemperatureConfig : public szar::AdapterConfig {
 public:
  void fields(szar::Fields &fields) override {
    fields.number("share", share_, "Share of the running mean that is taken away, 0 to 1. Default: all of it.").between(0, 1);
    fields.number("temperature", temperature_, "What the logits are divided by, above 0. Default: 1, which leaves them.").above(0);
    fields.choice("anchors", anchors_, {"given", "centred"},
                  "`given`: the logits as they come; `centred`: those of anchors without their mean over the classes, which "
                  "the aligner scores anew. Default: given.");
  }

  bool holds_streams() const override { return true; }

  std::unique_ptr<szar::Adapter> build(const szar::BuildContext &) const override {
    return std::make_unique<CentredTemperature>(share_, temperature_, anchors_ == "centred");
  }

 private:
  double share_ = 1.0;
  double temperature_ = 1.0;
  std::string anchors_ = "given";
};

}  // namespace

SZAR_PLUGIN("szar-example-cpp-adapter", "0.1.0",
            szar::component<CentredTemperatureConfig>(
                "centred-temperature", "Takes their running mean out of the logits and divides them by a temperature."))
