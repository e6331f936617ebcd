//! Returns unused memory to the system.

/// Limits how much free memory the allocator retains. It must be called before other threads start.
///
/// Loading a site needs much memory for a short time, and the next load may be weeks later. By default, glibc's malloc gives
/// every thread a heap of its own, each with its own fragmentation, and allocates large blocks from these heaps once one was
/// freed (M_ARENA_MAX and M_MMAP_THRESHOLD in mallopt(3)). At 10,000 nodes that takes 15 MiB more.
#[expect(
    unsafe_code,
    reason = "mallopt(3) has no safe wrapper; it takes two numbers"
)]
pub(crate) fn limit_allocator() {
    #[cfg(target_env = "gnu")]
    for (parameter, value) in [(libc::M_ARENA_MAX, 1), (libc::M_MMAP_THRESHOLD, 128 * 1024)] {
        // SAFETY: it changes how later allocations are made, not existing ones.
        let taken = unsafe { libc::mallopt(parameter, value) };
        debug_assert_eq!(taken, 1, "mallopt({parameter}) takes {value}");
    }
}

/// Returns the free memory of the allocator to the system.
#[expect(
    unsafe_code,
    reason = "malloc_trim(3) has no safe wrapper; it takes no pointer and touches only free memory"
)]
pub(crate) fn release_free_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}
