//! `szar embed`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use szar_backbones::semantics::bert::{SentenceBert, SentenceBertConfig};
use szar_backbones::semantics::descriptions::Templates;
use szar_backbones::semantics::embed::embed_file;

use crate::output::Output;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Description files whose texts are embedded with the default templates.
    #[arg(long, required = true, num_args = 1..)]
    descriptions: Vec<PathBuf>,
    /// Folder of the sentence encoder (Hugging Face form).
    #[arg(long)]
    model: PathBuf,
    /// File to write.
    #[arg(long)]
    out: PathBuf,
}

/// Embeds descriptions into a file.
pub fn run(args: &Args, output: &Output) -> Result<ExitCode> {
    crate::threads::set_count(None);
    let options = SentenceBertConfig {
        model: args.model.clone().into(),
        ..Default::default()
    };
    let mut encoder = SentenceBert::open(&options, tch::Device::Cpu)?;
    let name = args
        .model
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    let done = embed_file(
        &args.descriptions,
        &Templates::default(),
        &mut encoder,
        &name,
        &args.out,
    )?;
    output.say(&format!(
        "{}: {} texts, width {}",
        args.out.display(),
        done.texts,
        done.width
    ));
    Ok(ExitCode::SUCCESS)
}
