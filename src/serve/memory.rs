//! Memory that was needed for a while goes back to the system.

/// Gives back what the allocator keeps for later. Loading a site needs much for a moment, in pieces all over the
/// heap and in the arenas of threads that have ended, and the next load may be weeks away.
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
