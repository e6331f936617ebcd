//! Where a boot has stopped, and why.

pub(super) mod causes;
pub(super) mod progress;
pub(super) mod observe;
