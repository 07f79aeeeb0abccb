//! The classes of a list or of a pipeline's dataset.

use std::path::Path;

use szar_core::{BuildContext, ClassList, Error, Result, Seed};

/// Parts of a pipeline that a file with a dataset alone lacks; none of them is built.
const REST: &str = "
encoder: {type: st-gcn}
semantics: {type: embeddings, file: unused.npy}
aligner: {type: eszsl}
";

/// Reads class names: from a pipeline (`.yaml`, `.yml`; its dataset is opened, also where it stands alone), else from
/// a text file with one name per line.
///
/// # Errors
/// When the file or the dataset is not as it should be.
pub fn read(path: &Path, overrides: &[String]) -> Result<ClassList> {
    if !path.extension().is_some_and(|e| e == "yaml" || e == "yml") {
        if !overrides.is_empty() {
            let why = format!(
                "`--set` changes a pipeline, and {} is a list of names",
                path.display()
            );
            return Err(Error::Input(why));
        }
        return szar_backbones::semantics::classes::read_list(path);
    }
    let mut text = std::fs::read_to_string(path).map_err(|e| Error::read(path, e))?;
    let block = |key: &str| text.lines().any(|line| line.starts_with(&format!("{key}:")));
    if block("dataset")
        && !["base", "encoder", "semantics", "aligner"]
            .iter()
            .any(|key| block(key))
    {
        if !block("name") {
            text.push_str("\nname: classes");
        }
        text.push_str(REST);
    }
    szar_plugin_host::prepare(path, overrides)?;
    let resolved = szar_core::config::load_str(&text, path, overrides)?;
    let pipeline = &resolved.pipeline;
    let ctx = BuildContext {
        device: tch::Device::Cpu,
        seed: Seed(pipeline.seed),
        cache: szar_runner::cache_dir(),
    };
    Ok(pipeline.dataset.build(&ctx)?.info().classes.clone())
}
