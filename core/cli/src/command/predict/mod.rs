//! `szar predict`.

mod show;
mod stream;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use szar_core::{BuildContext, Cancel, Dataset, DeviceChoice, Error, Seed};
use szar_runner::predict::{Candidates, FinishedRun, Input, PredictOptions, Predictor, Spacing, recognise};

use self::show::Show;
use crate::output::Output;
use crate::threads;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of a finished run.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The sequences: a dataset inline (`{type: bvh, root: DIR}`) or in a YAML file, a folder or file whose format its name
    /// tells, or `-`: frames on standard input as they come, a JSON object a line.
    #[arg(long, value_name = "DATA", allow_hyphen_values = true)]
    input: String,
    /// The classes they may show: `unseen`, `seen` or `all` of the run, names (`wave,drink`), a file with one a line, or a JSON
    /// or YAML file of names and what they look like.
    #[arg(long, value_name = "CLASSES", default_value = "unseen")]
    classes: String,
    /// Classes shown of each sequence, the most probable first.
    #[arg(long, value_name = "K", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    top: u16,
    /// Let the run's adapters learn from the sequences, in their order [default: on where the run has any].
    #[arg(long, value_name = "on|off", value_parser = on_or_off)]
    adapt: Option<bool>,
    /// Where the adapters' state is kept: gone on from when the file is there, written at the end.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Folder of the text encoder's model, for texts that the run has no vectors of (`./x model` prints one).
    #[arg(long, value_name = "DIR")]
    text_encoder: Option<PathBuf>,
    /// Let the `global` text of a class stand in for those that its description lacks.
    #[arg(long)]
    fill: bool,
    /// Frames of a window of a stream [default: as many as the run's encoder takes].
    #[arg(long, value_name = "FRAMES", value_parser = clap::value_parser!(u32).range(1..))]
    window: Option<u32>,
    /// Frames from one window to the next [default: half a window].
    #[arg(long, value_name = "FRAMES", value_parser = clap::value_parser!(u32).range(1..))]
    stride: Option<u32>,
    /// Leave out sequences and frames that are wrong, with a warning, instead of stopping at the first.
    #[arg(long)]
    lenient: bool,
    /// Device in place of the run's: `auto`, `cpu`, `cuda` or `cuda:N`.
    #[arg(long, value_name = "DEVICE")]
    device: Option<DeviceChoice>,
}

fn on_or_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        other => Err(format!("expected on or off, found `{other}`")),
    }
}

/// Answers for every sequence or window as soon as it is there; times at the end.
pub fn run(args: &Args, output: &Output, cancel: &Cancel) -> Result<ExitCode> {
    szar_plugin_host::prepare(&FinishedRun::config(&args.run)?, &[])?;
    let run = FinishedRun::open(&args.run)?;
    threads::set_count(run.threads());
    let input = recognise(&args.input, run.layout())?;
    let streams = matches!(input, Input::Frames(_) | Input::StandardInput);
    if !streams && (args.window.is_some() || args.stride.is_some()) {
        let why =
            "`--window` and `--stride` cut streams of frames, the sequences of a dataset are answered whole";
        return Err(Error::Input(why.into()).into());
    }
    let dataset = match &input {
        Input::Dataset(config) => Some(open(config)?),
        _ => None,
    };
    let options = PredictOptions {
        candidates: Candidates::parse(&args.classes)?,
        text_encoder: args.text_encoder.clone(),
        fill: args.fill,
        adapt: args.adapt,
        state: args.state.clone(),
        device: args.device,
        expected: dataset.as_ref().map_or(0, |d| d.samples().len() as u64),
    };
    let mut predictor = Predictor::open(run, &options)?;
    let done = match (&input, &dataset) {
        (_, Some(dataset)) => sequences(args, &mut predictor, dataset.as_ref(), output, cancel),
        (Input::Frames(path), _) => {
            let spacing = args.spacing(&predictor);
            stream::file(path, &mut predictor, spacing, args, output, cancel)
        }
        _ => {
            let spacing = args.spacing(&predictor);
            stream::standard_input(&mut predictor, spacing, args, output, cancel)
        }
    };
    // What was learned from a stream cannot be learned again; the sequences of a dataset can.
    if streams || done.is_ok() {
        predictor.save()?;
    }
    done.map(|()| ExitCode::SUCCESS)
}

impl Args {
    fn spacing(&self, predictor: &Predictor) -> Spacing {
        let window = self.window.map_or(predictor.frames(), |n| n as usize);
        Spacing {
            window,
            stride: self.stride.map_or(window.div_ceil(2), |n| n as usize),
        }
    }
}

fn open(config: &str) -> Result<Box<dyn Dataset>> {
    if Path::new(config).is_file() {
        szar_plugin_host::prepare(Path::new(config), &[])?;
    }
    let (config, _) = szar_core::config::dataset(config, &[])?;
    let ctx = BuildContext {
        device: tch::Device::Cpu,
        seed: Seed(0),
        cache: szar_runner::cache_dir(),
    };
    Ok(config.build(&ctx)?)
}

/// The sequences of a dataset, one after the other.
fn sequences(
    args: &Args,
    predictor: &mut Predictor,
    dataset: &dyn Dataset,
    output: &Output,
    cancel: &Cancel,
) -> Result<()> {
    let info = dataset.info();
    predictor.read_from(
        &format!("layout `{}` of the input", info.layout.name),
        &info.layout.joints,
    )?;
    let usable: Vec<usize> = (0..dataset.samples().len())
        .filter(|i| dataset.samples()[*i].usable)
        .collect();
    if usable.is_empty() {
        return Err(Error::Input(format!("{}: there is no usable sequence", args.input)).into());
    }
    let names = usable.iter().map(|i| dataset.samples()[*i].name.as_str());
    let mut show = Show::new(output, predictor.classes(), usize::from(args.top), names);
    for sample in usable {
        cancel.check()?;
        let name = &dataset.samples()[sample].name;
        let answered = dataset.load(sample).and_then(|s| predictor.predict(&s));
        match answered {
            Ok(prediction) => show.sequence(name, &prediction)?,
            Err(error) if args.lenient && error.is_input() => {
                tracing::warn!(sequence = name, %error, "left out");
            }
            Err(error) => return Err(error.context(format!("sequence `{name}`")).into()),
        }
    }
    show.finish("sequences");
    Ok(())
}
