//! What the recorded streams of adapters that work on vectors have in common: unit features, class vectors, a scale.

use szar_core::conform::Case;
use szar_core::testing::{self, DotModel};
use szar_core::{
    Aligner, FeatureMap, Granularity, NamedTensors, Observation, Result, SampleRef, SemanticAnchors, Task,
    TestTimeAdapter,
};
use tch::{Kind, Tensor};

/// A recorded stream of vectors.
pub(crate) struct Recorded {
    /// `[N, D]`, or `[N, V, D]` with V views.
    pub features: Tensor,
    /// `[C, D]`.
    pub classes: Tensor,
    /// `[N]` i64.
    pub labels: Tensor,
    /// Multiplies the dot products of features and classes.
    pub scale: f64,
    /// Samples of a step.
    pub batch: i64,
}

impl Recorded {
    pub fn of(case: &Case) -> Result<Self> {
        Ok(Self {
            features: case.input("features")?,
            classes: case.input("class_emb")?,
            labels: case.input("labels")?,
            scale: case.param("logit_scale").unwrap_or(1.0),
            batch: case.param("batch").unwrap_or(1i64).max(1),
        })
    }

    fn anchors(&self) -> Result<SemanticAnchors> {
        let list = testing::classes(usize::try_from(self.classes.size()[0]).unwrap_or(0));
        SemanticAnchors::new(self.classes.unsqueeze(1), vec![Granularity::GLOBAL], list)
    }

    pub fn task(&self) -> Result<Task> {
        let width = *self.features.size().last().unwrap_or(&0);
        let classes = usize::try_from(self.classes.size()[0]).unwrap_or(0);
        Ok(Task {
            anchors: self.anchors()?,
            ..testing::task(classes, width, 1, 1)
        })
    }

    fn model(&self) -> DotModel {
        DotModel { scale: self.scale }
    }

    /// `[N, C]`, scores without the adapter.
    pub fn base(&self) -> Result<Tensor> {
        let features = FeatureMap::from_pooled(&self.features)?;
        Ok(self.model().score(&features, &self.anchors()?)?.logits)
    }

    /// `[N, C]`, the answers of an adapter that has begun; `after` each batch it is shown as it is then.
    pub fn play<A: TestTimeAdapter>(
        &self,
        adapter: &mut A,
        mut after: impl FnMut(&A) -> Result<()>,
    ) -> Result<Tensor> {
        let (model, anchors) = (self.model(), self.anchors()?);
        let mut answers = Vec::new();
        let mut first = 0;
        for part in self.features.split(self.batch, 0) {
            let features = FeatureMap::from_pooled(&part)?;
            let scores = model.score(&features, &anchors)?;
            let samples = SampleRef::run(first, part.size()[0] as usize);
            let seen = Observation::new(&features, &scores, &samples);
            answers.push(adapter.step(&seen, &model)?.logits);
            first += samples.len() as u64;
            after(adapter)?;
        }
        Ok(Tensor::cat(&answers, 0))
    }
}

/// Adds answers before and after the adapter, and how many of them are right.
pub(crate) fn with_accuracy(out: &mut NamedTensors, base: &Tensor, scores: &Tensor, labels: &Tensor) {
    for (name, accuracy, scores) in [("base_pred", "accuracy_base", base), ("pred", "accuracy", scores)] {
        let answers = scores.argmax(1, false);
        let right = answers.eq_tensor(labels).to_kind(Kind::Float);
        out.insert(accuracy.into(), right.mean(Kind::Float).reshape([1]));
        out.insert(name.into(), answers);
    }
}
