//! The class behind `get_best_hardware` and its kind.

use crate::{
    calls::{Compressed, compress_with, decompress_any, decompress_whole},
    data::{Data, Known, filled_bytes},
    errors::raise,
    process::{generation, host},
};
use clipsmaster_host::{Compressor as HostCompressor, Request, is_container};
use pyo3::{prelude::*, types::PyBytes};
use std::sync::Arc;

/// Compresses with the best implementation there is for an algorithm at a level, and decompresses what any implementation of it wrote.
/// Algorithms without levels take any.
///
/// Threads may share one. A forked child that uses one opens its own codecs.
#[pyclass(subclass, module = "clipsmaster.compression.hardware_accel")]
pub(crate) struct Compressor {
    request: Request,
    opened: Arc<HostCompressor>,
    generation: u64,
}

impl Compressor {
    fn open(py: Python<'_>, request: &Request) -> PyResult<Arc<HostCompressor>> {
        let host = host(py)?;
        Ok(Arc::new(py.detach(|| host.compressor(request)).map_err(raise)?))
    }

    /// The compressor, of this process.
    fn opened(slf: &mut PyRefMut<'_, Self>) -> PyResult<Arc<HostCompressor>> {
        if slf.generation != generation() {
            // The parent's is left as it is: its locks may be held by threads that are not here.
            let own = Self::open(slf.py(), &slf.request)?;
            std::mem::forget(std::mem::replace(&mut slf.opened, own));
            slf.generation = generation();
        }
        Ok(Arc::clone(&slf.opened))
    }
}

#[pymethods]
impl Compressor {
    #[new]
    #[pyo3(signature = (algorithm = "zstd", level = 3, *, hardware = None, implementation = None))]
    fn new(
        py: Python<'_>,
        algorithm: &str,
        level: Option<i32>,
        hardware: Option<String>,
        implementation: Option<String>,
    ) -> PyResult<Self> {
        // The default is one of zstd's.
        let request = Request { hardware, implementation, ..host(py)?.request_at(algorithm, level) };
        let opened = Self::open(py, &request)?;
        Ok(Self { request, opened, generation: generation() })
    }

    /// Compresses any bytes-like object. Answers the compressed bytes and their metadata.
    ///
    /// Without `checksum`, frames of zstd and lz4 leave out that of their content, as for compress_data().
    #[pyo3(signature = (data, *, checksum = true))]
    fn compress<'py>(mut slf: PyRefMut<'py, Self>, data: Data, checksum: bool) -> PyResult<Compressed<'py>> {
        let opened = Self::opened(&mut slf)?;
        let py = slf.py();
        drop(slf);
        compress_with(py, data, checksum, |_| Ok(opened))
    }

    /// Decompresses; with `metadata` the result is checked against its size and CRC-32.
    #[pyo3(signature = (compressed, metadata = None))]
    fn decompress(
        mut slf: PyRefMut<'_, Self>,
        compressed: Data,
        metadata: Option<Known>,
    ) -> PyResult<Py<PyBytes>> {
        let opened = Self::opened(&mut slf)?;
        let py = slf.py();
        drop(slf);
        let Some(Known::Checks(checks)) = metadata else {
            if is_container(compressed.as_slice()) {
                return decompress_any(py, host(py)?, compressed);
            }
            return decompress_whole(py, compressed, move |data| opened.decompress(data, None));
        };
        let host = host(py)?;
        filled_bytes(py, compressed, checks.original_size, move |data, out| {
            if checks.is_of_container(data) {
                return host.decompress_into(data, Some(&checks), out).map(drop);
            }
            opened.decompress_to(data, &checks, out)
        })
    }

    /// Algorithm of the frames.
    #[getter]
    fn algorithm(&self) -> &str {
        self.opened.algorithm()
    }

    /// Implementation that compresses now.
    #[getter]
    fn implementation(&self) -> &str {
        self.opened.implementation()
    }

    /// Hardware that compresses now.
    #[getter]
    fn hardware(&self) -> &str {
        self.opened.hardware()
    }

    /// The implementation's own level.
    #[getter]
    fn level(&self) -> i32 {
        self.opened.level()
    }

    fn __repr__(&self) -> String {
        format!("<compressor {} at level {}>", self.implementation(), self.level())
    }
}
