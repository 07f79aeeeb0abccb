// An adapter that does what an author gets wrong, and asks everything of the host that an adapter may ask.
#include "szar/plugin.hpp"

namespace {

class Trouble : public szar::Adapter {
 public:
  explicit Trouble(std::string what) : what_(std::move(what)) {}

  void begin(const szar::Task &task) override {
    if (what_ == "begin") throw std::runtime_error("no stream suits me");
    anchors_ = task.anchors;
    if (anchors_.classes().names != task.candidates.names) throw std::runtime_error("the anchors are of other classes");
    if (anchors_.values.size(1) != static_cast<int64_t>(anchors_.granularities().size())) {
      throw std::runtime_error("there is a granularity without a name");
    }
  }

  at::Tensor step(const szar::Observation &seen, const szar::LentAligner &model) override {
    const szar::NoGrad no_grad;
    if (what_ == "std") throw std::runtime_error("the cache is on fire");
    if (what_ == "torch") return at::matmul(seen.logits, at::zeros({1, 2}));
    if (what_ == "int") throw 7;
    if (what_ == "shape") return seen.logits.narrow(1, 0, 1);
    if (what_ == "kind") return seen.logits.to(at::kLong);
    if (what_ == "nothing") return {};
    if (what_ == "wrong-anchors") return model.score(seen.features, anchors_.with(anchors_.values.narrow(0, 0, 1)));
    if (what_ == "wrong-features") return model.score(seen.features.narrow(1, 0, 1), anchors_);
    if (what_ == "condensed") return model.score_condensed(model.condense(seen.features), anchors_);
    if (what_ == "encoded") {
      if (!seen.skeletons || !seen.encoder) throw std::runtime_error("there are no skeletons");
      if (seen.skeletons->layout().at("joints").size() != static_cast<size_t>(seen.skeletons->joints.size(3))) {
        throw std::runtime_error("the layout is of another skeleton");
      }
      return model.score(seen.encoder->encode(*seen.skeletons).features, anchors_);
    }
    if (model.call("no-such-method", szar::Json(), {})) throw std::runtime_error("an unknown method was answered");
    return model.score(seen.features, anchors_);
  }

  szar::NamedTensors snapshot() const override { return {}; }
  void restore(const szar::NamedTensors &) override {}

 private:
  std::string what_;
  szar::Anchors anchors_;
};

class TroubleConfig : public szar::AdapterConfig {
 public:
  void fields(szar::Fields &fields) override {
    fields.choice("what", what_,
                  {"scored", "condensed", "encoded", "begin", "build", "std", "torch", "int", "shape", "kind", "nothing",
                   "wrong-anchors", "wrong-features"},
                  "What goes wrong.");
    fields.integer("whole", whole_, "A whole number.").at_least(-3);
    fields.flag("flag", flag_, "Yes or no.");
    fields.numbers("list", list_, "Numbers.");
    fields.path("file", file_, "A file.");
  }

  void validate(szar::Problems &problems) const override {
    if (list_.empty()) problems.add("list", "must hold a number", "write `list: [1]`");
  }

  szar::Requirements requirements() const override {
    szar::Requirements needs;
    if (what_ == "encoded") needs.skeletons = "it encodes them once more";
    return needs;
  }

  std::unique_ptr<szar::Adapter> build(const szar::BuildContext &) const override {
    if (what_ == "build") throw std::runtime_error("the factory is closed");
    return std::make_unique<Trouble>(what_);
  }

 private:
  std::string what_ = "scored";
  int64_t whole_ = -3;
  bool flag_ = false;
  std::vector<double> list_{1.0, 2.5};
  std::string file_;
};

}  // namespace

SZAR_PLUGIN("szar-trouble", "0.0.1", szar::component<TroubleConfig>("trouble", "Does what it is told to do wrong."))
