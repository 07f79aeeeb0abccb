// `principal-ridge`: ridge regression from the principal components of the pooled features to one text per class, then
// cosines. Differentiable in anchors and features, so adapters that move either by gradients work on it.
//
//   W = P (P'X'X P + r n I)^-1 P'X'T,   z = scale cos(x W, t)
//
// | symbol | here     | shape    | meaning                                             |
// |--------|----------|----------|-----------------------------------------------------|
// | X      | x        | `[n, N]` | pooled features of the training set, less their mean |
// | P      | basis    | `[N, k]` | their first k principal directions                  |
// | T      | targets  | `[n, d]` | texts of the samples' classes, of length 1          |
// | W      | weight   | `[N, d]` | the map                                             |
#include "szar/plugin.hpp"

namespace {

/// Rows of length 1; a row of zeros stays.
at::Tensor unit(const at::Tensor &rows) {
  return rows / rows.square().sum(-1, true).clamp_min(1e-16).sqrt();
}

class PrincipalRidge : public szar::Aligner {
 public:
  PrincipalRidge(int64_t channels, int64_t width, int64_t components, double ridge, double scale, at::Device device)
      : components_(components), ridge_(ridge), scale_(scale) {
    const auto options = at::TensorOptions(at::kFloat).device(device);
    weight_ = at::zeros({channels, width}, options);
    mean_ = at::zeros({channels}, options);
  }

  static szar::Capabilities offers() {
    szar::Capabilities own;
    own.differentiable_in_anchors = own.differentiable_in_features = own.visual_embeddings = true;
    return own;
  }

  szar::Capabilities capabilities() const override { return offers(); }

  szar::FitSummary fit(const szar::SeenSet &train, const szar::SeenSet &, const szar::Anchors &anchors,
                       const szar::FitContext &) override {
    const szar::NoGrad no_grad;
    const auto all = pooled(train.features).to(at::kDouble);
    if (all.size(0) == 0) throw std::invalid_argument("there is no sample to fit on");
    const auto centre = all.mean(0, true);
    const auto x = all - centre;
    const auto samples = static_cast<double>(x.size(0));
    // Directions of the largest eigenvalues, which stand last.
    const auto directions = std::get<1>(at::linalg_eigh(at::matmul(x.t(), x)));
    const auto count = std::min(components_, directions.size(1));
    const auto basis = directions.narrow(1, directions.size(1) - count, count);
    const auto targets = unit(texts(anchors)).to(at::kDouble).index_select(0, train.labels);
    const auto own = at::matmul(x, basis);
    const auto system = at::matmul(own.t(), own) + at::eye(count, x.options()) * (ridge_ * samples);
    const auto solved = at::linalg_solve(system, at::matmul(own.t(), targets));
    weight_.copy_(at::matmul(basis, solved));
    mean_.copy_(centre.squeeze(0));
    szar::FitSummary said;
    said.chosen["components"] = static_cast<double>(count);
    return said;
  }

  at::Tensor score(const at::Tensor &features, const szar::Anchors &anchors) const override {
    return at::matmul(unit(mapped(features)), unit(texts(anchors)).t()) * scale_;
  }

  std::pair<at::Tensor, at::Tensor> embed(const at::Tensor &features, const szar::Anchors &anchors) const override {
    return {mapped(features), texts(anchors)};
  }

  szar::NamedTensors state() const override { return {{"weight", weight_}, {"mean", mean_}}; }

  void load_state(const szar::NamedTensors &state) override {
    const szar::NoGrad no_grad;
    weight_.copy_(szar::entry(state, "weight", weight_.sizes()));
    mean_.copy_(szar::entry(state, "mean", mean_.sizes()));
  }

 private:
  /// `[B, N]`.
  at::Tensor pooled(const at::Tensor &features) const {
    szar::expect("features", features, {-1, weight_.size(0), -1, -1});
    return features.mean({2, 3});
  }

  /// `[B, d]`.
  at::Tensor mapped(const at::Tensor &features) const { return at::matmul(pooled(features) - mean_, weight_); }

  /// `[C, d]`.
  at::Tensor texts(const szar::Anchors &anchors) const {
    szar::expect("anchors", anchors.values, {-1, -1, weight_.size(1)});
    return anchors.granularity("global").to(at::kFloat);
  }

  int64_t components_;
  double ridge_;
  double scale_;
  at::Tensor weight_;  // `[N, d]`
  at::Tensor mean_;    // `[N]`
};

class PrincipalRidgeConfig : public szar::AlignerConfig {
 public:
  void fields(szar::Fields &fields) override {
    fields.integer("components", components_, "Principal components that are kept, 1 or more. Default: 64.").at_least(1);
    fields.number("ridge", ridge_, "Weight of the squared coefficients per sample, above 0. Default: 0.01.").above(0);
    fields.number("scale", scale_, "Logits per cosine, above 0. Default: 20.").above(0);
  }

  szar::Capabilities capabilities() const override { return PrincipalRidge::offers(); }

  std::unique_ptr<szar::Aligner> build(const szar::EncoderSpec &features, const std::vector<std::string> &,
                                       int64_t width, const szar::BuildContext &context) const override {
    return std::make_unique<PrincipalRidge>(features.channels, width, components_, ridge_, scale_, context.device);
  }

 private:
  int64_t components_ = 64;
  double ridge_ = 0.01;
  double scale_ = 20.0;
};

}  // namespace

SZAR_PLUGIN("szar-example-cpp-aligner", "0.1.0",
            szar::component<PrincipalRidgeConfig>(
                "principal-ridge", "Ridge regression from principal components to one text per class, compared by angle."))
