//! A plugin with an aligner: a linear map from pooled features to texts by ridge regression, then cosines. It can be
//! differentiated in its anchors, so adapters that refine anchors by gradients work on it.

mod component;

szar_plugin::export!();
