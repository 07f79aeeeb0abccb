//! Several encoders as one: the features of all beside each other, their logits added.
//!
//! The published multi-stream results are such ensembles: one network each for the joints, the bones and how both move
//! (Shi et al., "Two-Stream Adaptive Graph Convolutional Networks", CVPR 2019, and "Skeleton-Based Action Recognition
//! With Multi-Stream Adaptive Graph Convolutional Networks", TIP 2020).
//!
//! | symbol | shape               | meaning                                                            |
//! |--------|---------------------|--------------------------------------------------------------------|
//! | `F_i`  | `[B, N_i, T', V']`  | features of member i; T' and V' are the same in all                |
//! | `F`    | `[B, Σ N_i, T', V']`| features of the ensemble: `F_1`, `F_2`, .. on the channel axis     |
//! | `z_i`  | `[B, S]`            | logits of member i over the seen classes                           |
//! | `z`    | `[B, S]`            | `Σ_i f_i z_i` with the members' `factors`; none if a member has none|
//!
//! Members are trained one after the other, each on its own objective. A member with `weights` is loaded and not
//! trained. Tensors of member i are named `members.{i}.` and their own name, i from 0.
//!
//! Four streams with the published factors:
//!
//! ```yaml
//! encoder:
//!   type: ensemble
//!   members:
//!     - {type: st-gcn, stream: joint}
//!     - {type: st-gcn, stream: bone}
//!     - {type: st-gcn, stream: joint-motion}
//!     - {type: st-gcn, stream: bone-motion}
//!   factors: [0.6, 0.6, 0.4, 0.4]
//! ```

mod config;
mod encoder;
mod fit;
#[cfg(test)]
mod tests;

pub use config::EnsembleConfig;
pub use encoder::Ensemble;
