//! How many threads libtorch computes with.

/// Sets the number of threads of libtorch: as asked, else one per core.
pub fn set_count(threads: Option<usize>) {
    let count = threads
        .or_else(|| std::thread::available_parallelism().ok().map(Into::into))
        .unwrap_or(1);
    tch::set_num_threads(i32::try_from(count).unwrap_or(1));
}
