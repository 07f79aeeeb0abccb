//! A plugin with the other kinds of components: a dataset, semantics, a text encoder and a gate. With the other examples it makes
//! a pipeline of plugins alone.

mod component;

szar_plugin::export!();
