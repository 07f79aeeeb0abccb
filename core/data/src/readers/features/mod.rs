//! Datasets of features that were extracted by others: the folders of SynSE and SA-DVAE, and of PURLS and DynaPURLS.
//!
//! | module   | holds                                                        |
//! |----------|--------------------------------------------------------------|
//! | `array`  | rows of a mapped `.npy` file                                 |
//! | `labels` | class numbers, with or without names                         |
//! | `set`    | parts put together to a dataset                              |
//! | `classes`| the classes and their split, which the files do not hold     |
//! | `purls`  | `purls-features`, and what PURLS does to stored maps         |
//! | `synse`  | `synse-features`                                             |

mod array;
pub(crate) mod classes;
mod labels;
pub(crate) mod purls;
mod set;
mod synse;
#[cfg(test)]
mod tests;

pub(crate) use array::is_zero;
pub use purls::PurlsFeaturesConfig;
pub use synse::SynseFeaturesConfig;
