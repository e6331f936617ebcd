//! Tests of the whole program: one binary, a module for each subject.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(
    clippy::print_stdout,
    reason = "a role reports to its test on standard output"
)]

mod support;
mod architecture;
mod type_names;
mod plain_words;
mod dhcp;
mod dhcp_options;
mod dhcp_clients;
mod disk_candidates;
mod disk_sets;
mod documentation;
mod example_loading;
mod example_rendering;
mod site_diagnostics;
mod site_rules;
mod protected_directories;
mod fifteen_errors;
mod resolved_settings;
mod images;
mod http;
mod hostile_http;
mod operators;
mod old_state;
mod operator_tls;
mod journal;
mod sendfile;
mod hot_reload;
mod poisoned_site;
mod start;
mod crash_recovery;
mod tftp;
mod write_order;
mod full_disk;
mod edits_under_load;
mod mboot;
mod confirm_neighbour;
mod network;
mod render_golden;
mod render_bonds;
mod address_families;
mod nic_names;
mod install_media;
mod render_networks;
mod render_on_link;
mod cloud_init;
mod played_installations;
mod esxi_images;
mod esxi_rules;
mod esxi_disk;
mod esxi_documents;
mod esxi_secure_boot;
mod render_programs;
mod debian_questions;
mod first_boot_scripts;
mod broken_documents;
mod render_disk;
mod render_quoting;
mod render_errors;
mod render_scripts;
mod render_cache;
mod render_page;
mod regional;
mod cli;
mod deliveries;
mod loaders;
mod played_machine;
mod doctor;
mod render_properties;
mod lifecycle;
mod microkernel;
mod microkernel_build;
