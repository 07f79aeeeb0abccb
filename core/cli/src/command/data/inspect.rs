//! `szar data inspect`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use szar_core::checkpoint::write_atomically;
use szar_core::{Cancel, ClassId, Dataset, Error};
use szar_data::draw::{animation, contact_sheet};
use szar_data::inspect::Inspection;

use super::summary;
use crate::output::Output;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The data: a file with a `dataset` block (a pipeline, say), or the block itself: `{type: ntu-rgbd, root: DIR}`.
    #[arg(value_name = "DATASET")]
    dataset: String,
    /// Change a value: `--set dataset.root=DIR`; may be given often.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    overrides: Vec<String>,
    /// Draw a contact sheet, six moments of one sequence of each class, as FILE.svg or FILE.png.
    #[arg(long, value_name = "FILE", value_parser = sheet_file)]
    sheet: Option<PathBuf>,
    /// Draw a sequence as it moves, as FILE.gif.
    #[arg(long, value_name = "FILE", value_parser = gif_file)]
    gif: Option<PathBuf>,
    /// The sequence of --gif, by name or by number from 0. Default: the first usable one (of --classes).
    #[arg(long, value_name = "NAME_OR_NUMBER", requires = "gif")]
    sample: Option<String>,
    /// Draw these classes only, by name.
    #[arg(long, value_name = "CLASS", value_delimiter = ',')]
    classes: Vec<String>,
    /// Draw a sequence of each class that this seed chooses, not the first.
    #[arg(long, value_name = "N", requires = "sheet")]
    seed: Option<u64>,
}

fn sheet_file(name: &str) -> Result<PathBuf, String> {
    with_ending(name, &["svg", "png"])
}

fn gif_file(name: &str) -> Result<PathBuf, String> {
    with_ending(name, &["gif"])
}

fn with_ending(name: &str, endings: &[&str]) -> Result<PathBuf, String> {
    let path = PathBuf::from(name);
    let known = endings.iter().any(|ending| has_ending(&path, ending));
    known
        .then_some(path)
        .ok_or_else(|| format!("the name must end in .{}", endings.join(" or .")))
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case(ending))
}

/// Draws what was asked for, then reads everything and says what is in it.
pub fn run(args: &Args, output: &Output, cancel: &Cancel) -> Result<ExitCode> {
    let (dataset, _) = super::open(&args.dataset, &args.overrides)?;
    let dataset = dataset.as_ref();
    draw(args, dataset, output, cancel)?;
    let found = Inspection::of(dataset, output, cancel)?;
    if output.json {
        output.json(&found)?;
    } else {
        output.result(&summary::text(&found))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Pictures first: what is wrong with their options is said before everything is read.
fn draw(args: &Args, dataset: &dyn Dataset, output: &Output, cancel: &Cancel) -> szar_core::Result<()> {
    let named = args
        .classes
        .iter()
        .map(|name| dataset.info().classes.by_name(name.trim()));
    let classes = named.collect::<szar_core::Result<Vec<ClassId>>>()?;
    if let Some(path) = &args.sheet {
        let scene = contact_sheet(dataset, &classes, args.seed, cancel)?;
        let picture = if has_ending(path, "svg") {
            scene.to_svg().into_bytes()
        } else {
            scene.to_png()?
        };
        keep(path, &picture, output)?;
    }
    if let Some(path) = &args.gif {
        let sample = sample(dataset, args.sample.as_deref(), &classes)?;
        keep(path, &animation(dataset, sample)?.to_gif()?, output)?;
    }
    Ok(())
}

fn keep(path: &Path, picture: &[u8], output: &Output) -> szar_core::Result<()> {
    write_atomically(path, picture)?;
    output.say(&format!("wrote {}", path.display()));
    Ok(())
}

/// Number of the sequence that is asked for; a name goes before a number.
fn sample(dataset: &dyn Dataset, wanted: Option<&str>, classes: &[ClassId]) -> szar_core::Result<usize> {
    let all = dataset.samples();
    let Some(wanted) = wanted else {
        let of_class = |class: &ClassId| classes.is_empty() || classes.contains(class);
        let first = all.iter().position(|s| s.usable && of_class(&s.class));
        return first.ok_or_else(|| Error::Input("no usable sequence of these classes to draw".into()));
    };
    let named = all.iter().position(|s| s.name == wanted);
    let number = || wanted.parse().ok().filter(|number| *number < all.len());
    named.or_else(number).ok_or_else(|| match wanted.parse::<u64>() {
        Ok(_) => Error::Input(format!(
            "there is no sequence {wanted}: there are {}, counted from 0",
            all.len()
        )),
        Err(_) => Error::unknown("sequence", wanted, all.iter().map(|s| s.name.clone())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn a_picture_is_known_by_its_ending() {
        assert!(sheet_file("a/b.PNG").is_ok() && sheet_file("b.svg").is_ok() && gif_file("c.gif").is_ok());
        assert_eq!(
            sheet_file("a.jpg").unwrap_err(),
            "the name must end in .svg or .png"
        );
        assert!(gif_file("gif").is_err());
    }

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parse(words: &[&str]) -> Result<Args, clap::Error> {
        let line = ["inspect", "{type: procedural, samples_per_class: 6}"];
        Line::try_parse_from(line.iter().chain(words)).map(|line| line.args)
    }

    #[test]
    fn options_without_their_picture_are_refused() {
        assert!(parse(&["--sample", "3"]).is_err() && parse(&["--seed", "3"]).is_err());
        assert!(parse(&["--sheet", "a.gif"]).is_err() && parse(&["--gif", "a.gif", "--sample", "3"]).is_ok());
    }

    #[test]
    fn pictures_are_written_where_they_are_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let output = Output::new(0, true, false);
        let draw = |words: &[&str]| {
            let args = parse(words).unwrap();
            let (dataset, _) = super::super::open(&args.dataset, &args.overrides).unwrap();
            super::draw(&args, dataset.as_ref(), &output, &Cancel::default())
        };
        let (svg, png, gif) = (path("a.svg"), path("a.png"), path("a.gif"));
        draw(&["--sheet", &svg, "--classes", "walk,run", "--gif", &gif]).unwrap();
        draw(&["--sheet", &png, "--classes", "walk", "--seed", "4"]).unwrap();
        let text = std::fs::read_to_string(&svg).unwrap();
        assert!(
            text.contains("walk") && text.contains("run") && !text.contains("squat"),
            "{text}"
        );
        assert!(std::fs::read(&png).unwrap().starts_with(b"\x89PNG"));
        assert!(std::fs::read(&gif).unwrap().starts_with(b"GIF89a"));
        let error = draw(&["--sheet", &png, "--classes", "wlak"])
            .unwrap_err()
            .to_string();
        assert!(error.contains("did you mean `walk`?"), "{error}");
    }

    #[test]
    fn a_sequence_is_found_by_name_and_by_number() {
        let (dataset, _) = super::super::open("{type: procedural, samples_per_class: 6}", &[]).unwrap();
        let dataset = dataset.as_ref();
        let name = dataset.samples()[7].name.clone();
        assert_eq!(sample(dataset, Some(&name), &[]).unwrap(), 7);
        assert_eq!(sample(dataset, Some("9"), &[]).unwrap(), 9);
        assert_eq!(sample(dataset, None, &[ClassId(2)]).unwrap(), 12);
        let error = sample(dataset, Some("999999"), &[]).unwrap_err().to_string();
        assert!(error.contains("there are 180, counted from 0"), "{error}");
        let error = sample(dataset, Some(&format!("{name}x")), &[])
            .unwrap_err()
            .to_string();
        assert!(error.contains(&format!("did you mean `{name}`?")), "{error}");
    }
}
