//! Composition, training, evaluation, reports.
