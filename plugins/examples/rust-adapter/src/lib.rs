//! A plugin with an adapter: takes from the logits of each class a share of their mean over the stream so far.

mod component;

szar_plugin::export!();
