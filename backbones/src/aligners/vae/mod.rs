//! What the aligners with variational autoencoders share: linear encoders and decoders, reparameterisation, the divergence
//! to the standard normal, schedules over training cycles, the classifier on sampled latents, and scoring.
//!
//! Each of them codes motion and text into one latent space: [`Vae`] is the aligner, a [`Family`] its networks and training.
//! An encoder gives a mean and a log variance per latent dimension; scoring uses the means of the motion alone.
//!
//! Letters: B samples, C candidates, S seen classes, N feature channels, d width of the text that enters an encoder,
//! L latent dimensions, R samples a class on which the classifier is trained.

mod classifier;
mod coder;
#[cfg(test)]
pub(super) mod harness;
mod judge;
mod loss;
mod model;
mod names;
mod options;
pub(super) mod replay;
mod samples;
mod schedule;

pub(super) use classifier::{Fitting, Latents};
pub(super) use coder::{Decoder, Encoder, Keys, Posterior};
pub(super) use loss::{Triplet, detached, mean_square, term, total, wasserstein};
pub(super) use model::{Family, Parts, Vae};
pub use options::{Activation, ClassifierConfig, Negatives, Noise, Scoring, Similarity, TripletConfig};
pub(super) use options::{Common, check_positive};
pub(super) use samples::{Batch, Draws, Samples};
pub(super) use schedule::{Schedule, Timetable};
