//! A plugin that misbehaves on demand. Its adapter, encoder and aligner do little, and do it right, until their option
//! `fault` names what they are to do wrong.

mod adapter;
mod aligner;
mod encoder;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use adapter::FaultyConfig;
pub use aligner::FaultyAlignerConfig;
pub use encoder::FaultyEncoderConfig;

/// Variable that is looked at when a `fault` is `environment`: the same configuration can then fail and succeed.
pub const VARIABLE: &str = "SZAR_EXAMPLE_FAULT";

/// What goes wrong; every kind of component has a list of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fault<T> {
    /// Nothing.
    #[default]
    None,
    /// What the environment variable `SZAR_EXAMPLE_FAULT` names; nothing where it is not set, or names no fault of this
    /// kind of component.
    Environment,
    /// This.
    #[serde(untagged)]
    Some(T),
}

impl<T: Copy + DeserializeOwned> Fault<T> {
    /// What is to go wrong now.
    pub fn now(self) -> Option<T> {
        match self {
            Self::None => None,
            Self::Some(fault) => Some(fault),
            Self::Environment => {
                let name = std::env::var(VARIABLE).ok()?;
                serde_json::from_value(name.into()).ok()
            }
        }
    }
}

/// Panics again when it is dropped, as what a panic carries may do.
#[derive(Debug)]
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        std::panic::panic_any(Self);
    }
}

szar_plugin::export!("faulty", env!("CARGO_PKG_VERSION"));
