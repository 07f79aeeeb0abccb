//! One file a subcommand.

pub mod ablate;
pub mod check;
pub mod conform;
pub mod data;
pub mod describe;
pub mod docs;
pub mod doctor;
pub mod embed;
pub mod extract;
pub mod list;
pub mod matrix;
pub mod plugin;
pub mod predict;
pub mod report;
pub mod run;
pub mod semantics;
pub mod table;
pub mod tune;
pub mod work;
