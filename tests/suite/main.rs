//! Everything that is tested from outside, in one binary: a module for each subject.

mod rules;
mod resolve;
mod render_golden;
mod render_site;
mod esxi_rules;
mod render_programs;
mod render_disk;
mod render_hostile;
mod render_mistakes;
mod render_scripts;
mod render_library;
mod render_readme;
