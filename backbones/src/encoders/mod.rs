//! Skeleton encoders: one file (or folder) each.
