//! How fast `tpt` and `diff-tpt` tune a residual on the texts when the views are encoded: samples per millisecond on one
//! CPU thread, beside the same methods written plainly in PyTorch (`benches/peer/tpt.py`; `PEER_PYTHON` names the Python
//! that has torch).
//!
//! Bound by the product of all views with all texts; the peer also by what a step of autograd and of an optimiser costs.
//!
//! `cargo bench -p szar-benches --bench tpt` needs the workspace's usual profile: `--profile dev`.

use szar_adapters::augment::SkeletonAugmentConfig;
use szar_adapters::diff_tpt::DiffTptConfig;
use szar_adapters::tpt::{Rules, TptConfig, Tuner};
use szar_adapters::views::ViewsConfig;
use szar_benches::turns::Turns;
use szar_core::testing::{self, DotModel};
use szar_core::{Granularity, Result, SemanticAnchors, Task, TestTimeAdapter};
use tch::{Kind, Tensor};

const CLASSES: usize = 24;
const WIDTH: i64 = 512;
const VIEWS: i64 = 64;
const MODEL: DotModel = DotModel { scale: 20.0 };

fn unit(x: &Tensor) -> Tensor {
    x / x.norm_scalaropt_dim(2, [-1i64].as_slice(), true)
}

fn random(shape: &[i64]) -> Tensor {
    unit(&Tensor::randn(shape, (Kind::Float, tch::Device::Cpu)))
}

fn task() -> Result<Task> {
    let texts = random(&[CLASSES as i64, 1, WIDTH]);
    let anchors = SemanticAnchors::new(texts, vec![Granularity::GLOBAL], testing::classes(CLASSES))?;
    Ok(Task {
        anchors,
        ..testing::task(CLASSES, WIDTH, 1, 25)
    })
}

fn measure(turns: &mut Turns, name: &str, rules: Rules, task: &Task, batch: i64) -> Result<()> {
    let own = Box::new(SkeletonAugmentConfig::default());
    let mut tuner = Tuner::new("tpt", rules, &ViewsConfig::default(), own);
    tuner.begin(task)?;
    let rows = random(&[batch * VIEWS, WIDTH]);
    let _ = turns.line(name, batch as usize, || {
        tuner.tune(&rows, &MODEL, None).map(|_| ())
    })?;
    Ok(())
}

fn main() -> Result<()> {
    tch::set_num_threads(1);
    tch::manual_seed(7);
    let (mut turns, task) = (Turns::start("tpt.py"), task()?);
    let methods = [
        ("tpt", TptConfig::default().rules()),
        ("diff_tpt", DiffTptConfig::default().rules()),
    ];
    for (name, rules) in methods {
        for (residual, shared) in [("shared", true), ("per_class", false)] {
            for batch in [1, 64] {
                let name = format!("{name}/step/{residual}_C{CLASSES}_B{batch}");
                measure(&mut turns, &name, Rules { shared, ..rules }, &task, batch)?;
            }
        }
    }
    Ok(())
}
