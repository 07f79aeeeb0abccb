//! Golden cases of adapters that need an aligner or a text encoder to be replayed: drivers that see both sides.

mod dynapurls;
