//! A plugin with an encoder: where each joint is relative to the middle of the body, and how much it moves.

mod component;

szar_plugin::export!();
