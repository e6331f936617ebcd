//! What a machine lives through, sentence by sentence.

mod identity;
mod life;
mod boots;
mod retries;
mod deadlines;
mod tokens;
mod bindings;
mod brakes;
mod kept;
mod dhcp;
mod addresses;
mod images;
mod gate;
mod checkin;
mod deliveries;
mod silence;
