//! What it costs that an adapter is a plugin: the same adapter built in and as a dynamic library, in turns, one sample at a
//! time on one CPU thread. Both are szar; the second column is the built-in one. Then the nanoseconds a call of an adapter that
//! does nothing takes more.
//!
//! `cargo bench -p szar-benches --bench boundary` needs the workspace's usual profile: `--profile dev`.

use szar_adapters::none::NoneConfig;
use szar_adapters::skeleton_cache::{Preset, SkeletonCacheConfig};
use szar_benches::turns;
use szar_core::testing::{self, NoModel};
use szar_core::{
    AdapterConfig, Error, FeatureMap, Observation, Result, SampleRef, Scores, Task, TestTimeAdapter, registry,
};
use tch::{Kind, Tensor};

const WIDTH: i64 = 256;

/// The adapter of this name in the plugin that was built beside this program.
fn plugged(name: &str) -> Result<Box<dyn TestTimeAdapter>> {
    let exe = std::env::current_exe().map_err(|e| Error::Input(e.to_string()))?;
    let file = format!(
        "{}szar_bench_plugin{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    );
    let _ = szar_plugin_host::load(&exe.with_file_name(file))?;
    let block = serde_json::json!({ "type": registry::PLUGIN, "component": name, "options": {} });
    let config: Box<dyn AdapterConfig> =
        serde_json::from_value(block).map_err(|e| Error::Input(e.to_string()))?;
    config.build(&testing::build_context())
}

struct Stream {
    task: Task,
    steps: Vec<(FeatureMap, Scores)>,
}

impl Stream {
    fn new(classes: usize) -> Result<Self> {
        let cpu = (Kind::Float, tch::Device::Cpu);
        let step = |_| {
            Ok((
                FeatureMap::new(Tensor::rand([1, WIDTH, 3, 25], cpu))?,
                Scores {
                    logits: Tensor::randn([1, classes as i64], cpu) * 3.0,
                },
            ))
        };
        Ok(Self {
            task: testing::task(classes, WIDTH, 3, 25),
            steps: (0..64).map(step).collect::<Result<_>>()?,
        })
    }

    /// Samples per millisecond of the plugin and of the built-in adapter.
    fn compare(
        &self,
        name: &str,
        mut plugin: Box<dyn TestTimeAdapter>,
        mut own: Box<dyn TestTimeAdapter>,
    ) -> Result<(f64, f64)> {
        const GROUP: usize = 64;
        plugin.begin(&self.task)?;
        own.begin(&self.task)?;
        let group = |adapter: &mut dyn TestTimeAdapter| -> Result<()> {
            for (at, (features, scores)) in self.steps.iter().enumerate() {
                let samples = SampleRef::run(at as u64, 1);
                let _ = adapter.step(&Observation::new(features, scores, &samples), &NoModel)?;
            }
            Ok(())
        };
        for _ in 0..30 {
            group(&mut *plugin)?;
            group(&mut *own)?;
        }
        let mut built_in = Vec::new();
        let ours = turns::against(
            name,
            GROUP,
            || group(&mut *plugin),
            || {
                let rate = turns::round(GROUP, || group(&mut *own)).ok()?;
                built_in.push(rate);
                Some(rate)
            },
        )?;
        built_in.sort_by(f64::total_cmp);
        Ok((ours, built_in[built_in.len() / 2]))
    }
}

#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
fn main() -> Result<()> {
    tch::set_num_threads(1);
    tch::manual_seed(7);
    turns::head("plugin", "built in");
    let none = Stream::new(24)?;
    let (plugin, own) = none.compare(
        "boundary/nothing/C24_B1",
        plugged("plugged-nothing")?,
        NoneConfig::default().build(&testing::build_context())?,
    )?;
    println!(
        "boundary/nothing/C24_B1: {:.0} ns a call more",
        1e6 / plugin - 1e6 / own
    );
    for classes in [5, 24] {
        let config = SkeletonCacheConfig {
            preset: Preset::None,
            ..SkeletonCacheConfig::default()
        };
        let built_in = config.build(&testing::build_context())?;
        let name = format!("boundary/skeleton_cache/C{classes}_B1");
        let (plugin, own) = Stream::new(classes)?.compare(&name, plugged("plugged-cache")?, built_in)?;
        println!(
            "{name}: {:+.1} % of the built-in one's rate",
            100.0 * (plugin / own - 1.0)
        );
    }
    Ok(())
}
