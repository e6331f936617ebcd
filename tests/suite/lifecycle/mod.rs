//! The life of a machine, step by step.

mod identity;
mod states;
mod boots;
mod rack;
mod retries;
mod seals;
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
mod facts;
mod claims;
mod deliveries;
mod diagnosis;
