//! What holds for the whole program: one binary, a module for each subject.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod architecture;
mod documented;
mod examples;
mod example_documents;
mod reading;
mod rules;
mod fifteen;
mod resolve;
mod http_fixture;
mod http;
mod hostile_http;
mod journal_files;
mod server;
mod hot_reload;
mod started;
mod killed;
mod traced;
mod full_disk;
mod load;
mod neighbours;
mod render_golden;
mod render_site;
mod installation;
mod esxi_rules;
mod render_programs;
mod render_disk;
mod render_hostile;
mod render_mistakes;
mod render_scripts;
mod render_library;
mod render_readme;
mod cli;
mod play;
mod render_any;
mod lifecycle;
