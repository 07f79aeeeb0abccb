//! Tests of the resolver, on toy components.

mod compose;
mod mistakes;
mod resolution;
mod robustness;
mod toys;

use std::path::Path;

use super::{Resolved, load_str};
use crate::{Error, Problem};

/// A sound pipeline; line numbers matter to the tests.
const SOUND: &str = "\
name: toy-run
seed: 7
dataset:
  type: toy
  root: data/toy
encoder: {type: toy-net, weights: net.pt}
semantics:
  type: toy-texts
  file: ${dataset.root}/texts.json
  text_encoder: {type: toy-bag, width: 512}
aligner: {type: toy-match, partition: static}
adapters:
  - type: toy-cache
    capacity: 4
  - {type: toy-none}
";

fn resolve(text: &str, overrides: &[&str]) -> crate::Result<Resolved> {
    let overrides: Vec<String> = overrides.iter().map(|o| o.to_string()).collect();
    load_str(text, Path::new("/configs/pipeline.yaml"), &overrides)
}

/// The problems of a text that must have some.
fn problems(text: &str, overrides: &[&str]) -> Vec<Problem> {
    match resolve(text, overrides) {
        Err(Error::Config(list)) => list.iter().cloned().collect(),
        Err(other) => panic!("expected problems, found {other}"),
        Ok(_) => panic!("expected problems"),
    }
}

/// The only problem, as it is printed.
fn problem(text: &str, overrides: &[&str]) -> String {
    let list = problems(text, overrides);
    assert_eq!(list.len(), 1, "{list:#?}");
    list[0].to_string()
}
