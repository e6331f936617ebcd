//! Memory that was needed for a while goes back to the system.

/// Has the allocator keep little for later, from now on; to be called before there are other threads. Loading a
/// site needs much for a moment, and the next load may be weeks away. As it comes, glibc's malloc gives every
/// thread a heap of its own, with holes of its own, and takes large pieces from those heaps once one was freed
/// (M_ARENA_MAX and M_MMAP_THRESHOLD in mallopt(3)). At 10,000 nodes that is 15 MiB more.
#[expect(
    unsafe_code,
    reason = "mallopt(3) has no safe wrapper; it takes two numbers"
)]
pub(crate) fn keep_little() {
    #[cfg(target_env = "gnu")]
    for (parameter, value) in [(libc::M_ARENA_MAX, 1), (libc::M_MMAP_THRESHOLD, 128 * 1024)] {
        // SAFETY: it changes how later allocations are made, and nothing about those that there are.
        let taken = unsafe { libc::mallopt(parameter, value) };
        debug_assert_eq!(taken, 1, "mallopt({parameter}) takes {value}");
    }
}

/// Gives back what the allocator keeps for later all the same.
#[expect(
    unsafe_code,
    reason = "malloc_trim(3) has no safe wrapper; it takes no pointer and touches only what nobody uses"
)]
pub(crate) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}
