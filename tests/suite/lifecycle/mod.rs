//! What a machine lives through, sentence by sentence.

mod identity;
mod states;
mod boots;
mod retries;
mod deadlines;
mod tokens;
mod bindings;
mod limits;
mod later_releases;
mod dhcp;
mod addresses;
mod images;
mod gate;
mod preparing;
mod checkin;
mod deliveries;
mod diagnosis;
