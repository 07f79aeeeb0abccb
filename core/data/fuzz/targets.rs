//! What is fuzzed: every reader of files, through the functions that a run calls.

use std::path::{Path, PathBuf};

use szar_core::checkpoint::{NamedTensors, read_labels, read_weights};
use szar_core::{Dataset, DatasetConfig, Result, config, testing};
use tch::Device;

// Named so that the datasets are linked.
use szar_data as _;

/// A reader.
pub struct Target {
    /// Name, which is that of its folder in the corpus.
    pub name: &'static str,
    reads: Reads,
}

enum Reads {
    /// A dataset by its block, `ROOT` for the folder.
    Dataset(&'static str),
    /// Pickled labels.
    Labels,
    /// A state_dict, or what szar saved.
    Weights,
    /// A pipeline.
    Pipeline,
}

/// All readers.
pub const TARGETS: [Target; 20] = [
    dataset(
        "ntu-rgbd",
        "{type: ntu-rgbd, root: ROOT, missing: ROOT/missing.txt, split: {name: 55/5}}",
    ),
    dataset(
        "pku-mmd",
        "{type: pku-mmd, root: ROOT/skeletons, labels: ROOT/labels, protocol: cross-view}",
    ),
    dataset(
        "nw-ucla",
        "{type: nw-ucla, root: ROOT, exclude: [duplicate, short]}",
    ),
    dataset(
        "kinect-v2-text",
        "{type: kinect-v2-text, root: ROOT, exclude: [missing, unstable]}",
    ),
    dataset("msr-action3d", "{type: msr-action3d, root: ROOT}"),
    dataset("utkinect", "{type: utkinect, root: ROOT}"),
    dataset("florence3d", "{type: florence3d, root: ROOT}"),
    dataset("utd-mhad", "{type: utd-mhad, root: ROOT}"),
    dataset(
        "joint-csv",
        "{type: joint-csv, root: ROOT, layout: common15, persons: 2}",
    ),
    dataset(
        "joint-csv-layout",
        "{type: joint-csv, root: ROOT, layout_file: ROOT/suit.yaml}",
    ),
    dataset("pose-json", "{type: pose-json, root: ROOT}"),
    dataset(
        "openpose",
        "{type: pose-json, source: openpose, files: frame, metres_per_unit: 0.01, persons: 2, root: ROOT}",
    ),
    dataset("bvh", "{type: bvh, root: ROOT, drop_root: true, every: 2}"),
    dataset(
        "asf-amc",
        "{type: asf-amc, root: ROOT, layout_file: ROOT/skeleton.yaml}",
    ),
    dataset(
        "skeleton-npz",
        "{type: skeleton-npz, root: ROOT, split: {name: 1_1}}",
    ),
    dataset("ctr-gcn-npz", "{type: ctr-gcn-npz, file: ROOT/NTU60_CS.npz}"),
    dataset("agcn-npy", "{type: agcn-npy, root: ROOT}"),
    dataset("skeleton-store", "{type: skeleton-store, root: ROOT}"),
    Target {
        name: "pickle",
        reads: Reads::Labels,
    },
    Target {
        name: "weights",
        reads: Reads::Weights,
    },
];

/// Pipelines are read by `szar-core` alone; the rest of a configuration is judged without touching a file.
pub const PIPELINE: Target = Target {
    name: "config",
    reads: Reads::Pipeline,
};

const fn dataset(name: &'static str, block: &'static str) -> Target {
    Target {
        name,
        reads: Reads::Dataset(block),
    }
}

impl Target {
    /// A reader of one folder, whatever it will hold when it is read.
    ///
    /// # Errors
    /// When the block is wrong, which is a mistake here.
    pub fn in_folder(&self, folder: &Path) -> Result<Reader> {
        Ok(match self.reads {
            Reads::Dataset(block) => {
                let block = block.replace("ROOT", &folder.display().to_string());
                Reader::Dataset(config::dataset(&block, &[])?.0)
            }
            Reads::Labels => Reader::Labels(folder.join("labels.pkl")),
            Reads::Weights => Reader::Weights(folder.to_owned()),
            Reads::Pipeline => Reader::Pipeline(folder.join("pipeline.yaml")),
        })
    }
}

/// What reads the files of a folder.
pub enum Reader {
    /// The folder is a dataset.
    Dataset(Box<dyn DatasetConfig>),
    /// A file of names and labels.
    Labels(PathBuf),
    /// A folder with a file of tensors.
    Weights(PathBuf),
    /// A file that names components.
    Pipeline(PathBuf),
}

impl Reader {
    /// Reads all that is there and says what came out.
    ///
    /// # Errors
    /// As the reader. Panics when it breaks a promise of [`Dataset`].
    pub fn read(&self) -> Result<String> {
        match self {
            Self::Dataset(config) => everything(config.build(&testing::build_context())?.as_ref()),
            Self::Labels(path) => read_labels(path).map(|(names, _)| format!("{} labels", names.len())),
            Self::Weights(folder) => {
                let torch = folder.join("weights.pt");
                let ours = folder.join("weights.safetensors");
                let path = if torch.is_file() { torch } else { ours };
                let weights = read_weights(&path, &NamedTensors::new(), Device::Cpu)?;
                Ok(format!("{} tensors", weights.tensors.len()))
            }
            Self::Pipeline(path) => config::load(path, &[]).map(|_| "a pipeline".into()),
        }
    }
}

/// Loads every sequence; the first that cannot be read counts when the others have been.
fn everything(dataset: &dyn Dataset) -> Result<String> {
    let (info, mut first, mut frames) = (dataset.info(), None, 0);
    for (i, sample) in dataset.samples().iter().enumerate() {
        assert!(
            info.classes.name(sample.class).is_some(),
            "`{}` is of no class",
            sample.name
        );
        match dataset.load(i) {
            Ok(sequence) => {
                let size = sequence.frames * sequence.persons * info.layout.len() * 3;
                assert!(
                    size > 0 && sequence.joints.len() == size,
                    "`{}` has another size",
                    sample.name
                );
                let finite = sequence.joints.iter().all(|v| v.is_finite());
                assert!(finite, "`{}` has a value that is no number", sample.name);
                frames += sequence.frames;
            }
            Err(error) => first = first.or(Some(error)),
        }
    }
    let split = dataset.split().map(|split| split.unseen().len());
    match (first, split) {
        (Some(error), _) => Err(error),
        (None, Ok(unseen)) => Ok(format!(
            "{} samples, {frames} frames, {unseen} unseen classes",
            dataset.samples().len()
        )),
        (None, Err(_)) => Ok(format!("{} samples, {frames} frames", dataset.samples().len())),
    }
}
