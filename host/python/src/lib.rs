//! `clipsmaster._native`: the host's calls on Python's buffers.
//!
//! Data goes one way: Python objects become slices in [`data`], the calls of [`calls`], [`compressor`] and [`store`] hand them to the
//! host, whose errors become exceptions in [`errors`]. [`process`] holds the one host of the process, and opens another after a fork.

mod calls;
mod compressor;
mod data;
mod errors;
mod own_codec;
mod process;
mod store;

use pyo3::prelude::*;

/// The native half of the package.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    process::after_fork_in_child();
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    errors::add_to(module)?;
    calls::add_to(module)?;
    module.add_class::<compressor::Compressor>()?;
    module.add_class::<store::ResourceStore>()?;
    module.add_function(wrap_pyfunction!(own_codec::register_compressor, module)?)?;
    module.add_function(wrap_pyfunction!(process::set_program_dir, module)?)?;
    module.add_function(wrap_pyfunction!(process::after_fork_in_child, module)?)?;
    Ok(())
}
