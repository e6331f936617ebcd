//! What a machine is to be, and why.
