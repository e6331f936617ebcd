//! The limits of the check process.

use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::MAX_THREADS;

/// What a check may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckLimits {
    /// From the start of the check to its end.
    pub time: Duration,
    /// Processor time of all its threads together.
    pub processor_time: Duration,
    /// Memory that it can write, in bytes. Parsing and compiling get less ([`CheckLimits::parse_memory`]).
    pub memory: u64,
    /// The stack of each of its threads in bytes. It is half of what the threads that load a site here have (2 MiB), so
    /// that what fits there fits here.
    pub stack: u64,
}

/// A site of 10,000 nodes, which has 1.2 MB, is read, compiled and rendered in 57 MB (2026-12-01).
const PROGRAM_MEMORY: u64 = 64 << 20;

/// The memory for one byte of a site's files. One file with 100,000 nodes, which has 4.3 MB, needs 218 MB (2026-12-01).
const MEMORY_PER_BYTE: u64 = 48;

/// The address space that is only reserved: 128 MiB for each thread.
const RESERVED: u64 = (MAX_THREADS as u64) << 27;

impl Default for CheckLimits {
    /// Many times what a site of 10,000 nodes needs. The time is longer than the processor time: a host that is busy with other
    /// work must not reject an honest site.
    fn default() -> Self {
        CheckLimits {
            time: Duration::from_secs(300),
            processor_time: Duration::from_secs(60),
            memory: 1 << 30,
            stack: 1 << 20,
        }
    }
}

impl CheckLimits {
    /// The arguments of the process.
    pub(super) fn arguments(&self) -> [String; 3] {
        [
            self.processor_time.as_secs().max(1).to_string(),
            self.memory.to_string(),
            self.stack.to_string(),
        ]
    }

    /// Reads [`CheckLimits::arguments`]. The time is measured by the other process.
    pub(super) fn from_arguments(arguments: &[u64; 3]) -> Self {
        let [seconds, memory, stack] = *arguments;
        CheckLimits {
            processor_time: Duration::from_secs(seconds),
            memory,
            stack,
            ..CheckLimits::default()
        }
    }

    /// The memory for parsing and compiling files of this size together. The process that asks does the same without
    /// limits afterwards, so it is a small multiple of what that needs: one of the files' size, and a part for this program.
    pub(super) fn parse_memory(&self, size: u64) -> u64 {
        let needed = PROGRAM_MEMORY.saturating_add(size.saturating_mul(MEMORY_PER_BYTE));
        // A round number is easier to read in a message.
        self.memory.min(needed.next_multiple_of(1 << 20))
    }

    /// Restricts this process for ever.
    pub(super) fn set(&self) -> nix::Result<()> {
        let seconds = self.processor_time.as_secs();
        let reserved = self.memory.saturating_add(RESERVED);
        for (resource, soft, hard) in [
            // Address space that the allocator only reserves, for each thread, does not count (since Linux 4.7).
            (Resource::RLIMIT_DATA, self.memory, self.memory),
            (Resource::RLIMIT_AS, reserved, reserved),
            (Resource::RLIMIT_CPU, seconds, seconds + 1),
            (Resource::RLIMIT_CORE, 0, 0),
            // Only its messages and progress reports are a file.
            (Resource::RLIMIT_FSIZE, 4 << 20, 4 << 20),
        ] {
            setrlimit(resource, soft, hard)?;
        }
        Ok(())
    }
}

/// Sets the memory of this process, within its limit.
pub(super) fn set_memory(bytes: u64) -> nix::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_DATA)?;
    setrlimit(Resource::RLIMIT_DATA, bytes.min(hard), hard)
}
