//! Many runs at once: grids of pipelines whose parts are swapped, hyper-parameters, seeds.
//!
//! Sees the runner and nothing of the components; a run of a sweep is a run like any other, in a folder of its own.
//!
//! | module    | holds                                                                                   |
//! |-----------|-----------------------------------------------------------------------------------------|
//! | `grid`    | the options of a grid, its cells, resolved and checked before anything runs             |
//! | `plan`    | what has to be done for them, each training and extraction once, and what is left to do |
//! | `work`    | the process that does some of it                                                        |
//! | `launch`  | where these processes run: here, or on a Slurm cluster                                  |
//! | `results` | what came of it: tidy rows, tables                                                      |
//! | `batch`   | cells on their way                                                                      |
//! | `ablate`  | a grid, from its file to its tables                                                     |
//! | `tune`    | hyper-parameters, chosen on seen classes                                                |

mod ablate;
mod batch;
pub mod grid;
pub mod launch;
mod plan;
pub mod results;
pub mod tune;
mod work;

pub use ablate::Ablation;
pub use batch::{Batch, BatchOptions, Ended, Overseer};
pub use plan::{Plan, Progressed};
pub use work::{Worker, work};
