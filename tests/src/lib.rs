//! Support for tests that need whole libraries and programs.
//!
//! The folder `examples/misbehaving` holds plugins that each break one rule. They are examples, not
//! members of the workspace, so that cargo builds them with the tests (into
//! `target/<profile>/examples/`) and nothing puts them beside the program, where it would find them.
//!
//! This crate must not contain what a plugin or the host needs outside of tests.

pub mod campaign;
pub mod counter;
pub mod fuzz;
mod load;

pub use load::load;

/// Environment variable with the path of a file. While that file exists, `fails_after_load` and
/// `fails_in_mid_job` answer that their device is lost.
pub const FAIL_FILE_VARIABLE: &str = "CLIPSMASTER_TEST_FAIL_FILE";
