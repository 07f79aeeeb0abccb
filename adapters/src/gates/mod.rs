//! Gates: decide between seen and unseen.
