//! Where the processes of a sweep run.

mod local;
mod slurm;

pub use local::LocalConfig;
pub use slurm::SlurmConfig;
