//! One file a subcommand.

pub mod check;
pub mod conform;
pub mod data;
pub mod describe;
pub mod doctor;
pub mod embed;
pub mod extract;
pub mod list;
pub mod matrix;
pub mod plugin;
pub mod report;
pub mod run;
pub mod semantics;
pub mod table;
