//! Returns unused memory to the system.

use std::time::Duration;

/// The interval between checks of the allocator's free memory.
const INTERVAL: Duration = Duration::from_secs(10);

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

/// How much free memory the allocator may retain, in bytes.
#[cfg(target_env = "gnu")]
const MAX_FREE: usize = 8 << 20;

/// Returns unused memory to the system again and again, on a thread that may block.
pub(crate) async fn release_regularly() {
    loop {
        tokio::time::sleep(INTERVAL).await;
        if let Err(error) = tokio::task::spawn_blocking(release_much_free_memory).await {
            tracing::error!("unused memory is not returned to the system any more: {error}");
            return;
        }
    }
}

/// Returns the free memory of the allocator to the system if there is much of it. Glibc does so only at the end of its heap: after
/// many connections at once, some small blocks that are in use keep all memory before them.
#[expect(
    unsafe_code,
    reason = "mallinfo2(3) has no safe wrapper; it takes nothing and returns numbers"
)]
fn release_much_free_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it may be called at any time from any thread.
    if unsafe { libc::mallinfo2() }.fordblks > MAX_FREE {
        release_free_memory();
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
