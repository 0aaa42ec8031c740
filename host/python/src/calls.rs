//! The package's functions.

use crate::{
    data::{
        Data, Known, Room, Scratch, filled_bytes, metadata_to_python, run, run_beside, to_python, written,
    },
    errors::{raise, raise_decompressing},
    process::host,
};
use clipsmaster_host::{
    Checksum, Compressor, Error, Host, Metadata, Objective, Policy, Request, Restored, Result,
    chunked_header_info as header_info, container_raw_bytes,
    pipeline::{CompressOptions, OnDamage},
    policy::{AUTO, DEFAULT_TYPE},
};
use pyo3::{
    exceptions::{PyUserWarning, PyValueError},
    ffi::c_str,
    prelude::*,
    types::{PyBytes, PyDict, PyTuple},
};
use std::{path::PathBuf, sync::Arc};

pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(compress_data, module)?)?;
    module.add_function(wrap_pyfunction!(decompress_data, module)?)?;
    module.add_function(wrap_pyfunction!(decompress_into, module)?)?;
    module.add_function(wrap_pyfunction!(compress_chunked, module)?)?;
    module.add_function(wrap_pyfunction!(decompress_chunked, module)?)?;
    module.add_function(wrap_pyfunction!(chunked_header_info, module)?)?;
    module.add_function(wrap_pyfunction!(safe_compress, module)?)?;
    module.add_function(wrap_pyfunction!(safe_decompress, module)?)?;
    module.add_function(wrap_pyfunction!(compress_by_type, module)?)?;
    module.add_function(wrap_pyfunction!(get_resource_policy, module)?)?;
    module.add_function(wrap_pyfunction!(get_recommended_algorithm, module)?)?;
    module.add_function(wrap_pyfunction!(benchmark_hardware, module)?)?;
    module.add_function(wrap_pyfunction!(compress_file, module)?)?;
    module.add_function(wrap_pyfunction!(decompress_file, module)?)?;
    module.add_function(wrap_pyfunction!(list_plugins, module)?)?;
    module.add_function(wrap_pyfunction!(algorithms, module)?)?;
    module.add_function(wrap_pyfunction!(refresh, module)?)
}

/// Compressed bytes and their metadata, as the documented pair.
pub(crate) type Compressed<'py> = (Bound<'py, PyBytes>, Bound<'py, PyDict>);

/// Compresses any bytes-like object into standard frames of `algorithm` on the best hardware there is.
///
/// `level` is one of the algorithm's reference implementation (its default when None), `hardware` and `implementation` restrict the choice.
/// Without `checksum`, frames of zstd and lz4 leave out that of their content: faster, and only metadata tells damage then.
/// With "auto" algorithm, level and filter are chosen by trials on a sample of the data; `objective` is then speed, balanced or ratio.
/// Answers the compressed bytes and a dictionary of metadata, which decompress_data() checks the result by.
#[pyfunction]
#[pyo3(signature = (data, algorithm = "zstd", *, level = None, hardware = None, implementation = None, objective = None, checksum = true))]
#[expect(clippy::too_many_arguments, reason = "keywords in Python")]
fn compress_data<'py>(
    py: Python<'py>,
    data: Data,
    algorithm: &str,
    level: Option<i32>,
    hardware: Option<String>,
    implementation: Option<String>,
    objective: Option<&str>,
    checksum: bool,
) -> PyResult<Compressed<'py>> {
    let host = host(py)?;
    if algorithm == AUTO {
        if level.is_some() || implementation.is_some() || !checksum {
            return Err(PyValueError::new_err(
                "auto chooses level and implementation itself, and checks; leave them out",
            ));
        }
        let objective: Objective = objective.unwrap_or("balanced").parse().map_err(PyValueError::new_err)?;
        return compress_auto(py, data, objective, hardware);
    }
    if objective.is_some() {
        return Err(PyValueError::new_err("an objective is for the algorithm `auto`"));
    }
    let request = Request { level, hardware, implementation, ..Request::new(algorithm) };
    compress_with(py, data, checksum, move |data| host.shared_compressor(request, data))
}

/// Compresses by what trials on a sample of `data` choose.
fn compress_auto<'py>(
    py: Python<'py>,
    data: Data,
    objective: Objective,
    hardware: Option<String>,
) -> PyResult<Compressed<'py>> {
    let host = host(py)?;
    let compress = move |data: &[u8]| {
        let policy = Policy {
            algorithm: AUTO.into(),
            level: None,
            hardware,
            implementation: None,
            objective: Some(objective),
            filter: None,
            ..host.get_resource_policy(DEFAULT_TYPE)?
        };
        host.compress_by(data, &policy)
    };
    compress_whole(py, data, compress)
}

/// Compresses `data` by a compressor for it, into frames with a checksum of their own or without.
pub(crate) fn compress_with<'py>(
    py: Python<'py>,
    data: Data,
    checksum: bool,
    compressor: impl FnOnce(&[u8]) -> Result<Arc<Compressor>> + Send + 'static,
) -> PyResult<Compressed<'py>> {
    let checksum = if checksum { Checksum::Own } else { Checksum::Callers };
    let mut scratch = Scratch::take();
    let compress = move |data: &[u8]| {
        compressor(data)?.compress_again(checksum, data, &mut scratch.out, &mut scratch.metadata)?;
        Ok(scratch)
    };
    let scratch = run(py, data, compress, raise)?;
    let bytes = PyBytes::new(py, &scratch.out[..scratch.metadata.compressed_size as usize]);
    let metadata = metadata_to_python(py, &scratch.metadata);
    scratch.keep();
    Ok((bytes, metadata?))
}

/// Compresses `data` by `compress`, which answers a buffer of its own.
fn compress_whole<'py>(
    py: Python<'py>,
    data: Data,
    compress: impl FnOnce(&[u8]) -> Result<(Vec<u8>, Metadata)> + Send + 'static,
) -> PyResult<Compressed<'py>> {
    let (out, metadata) = run(py, data, compress, raise)?;
    Ok((PyBytes::new(py, &out), metadata_to_python(py, &metadata)?))
}

/// Decompresses what compress_data() or any other call of this package made, and frames and containers of other tools.
///
/// With `metadata` the result is checked against its size and CRC-32; without, the format is told by the first bytes.
#[pyfunction]
#[pyo3(signature = (compressed, metadata = None))]
fn decompress_data(py: Python<'_>, compressed: Data, metadata: Option<Known>) -> PyResult<Py<PyBytes>> {
    let host = host(py)?;
    let metadata = match metadata {
        None => return decompress_any(py, host, compressed),
        Some(Known::Checks(metadata)) => metadata,
        Some(Known::Algorithm(algorithm)) => {
            let request = Request::new(&algorithm);
            let decompress = move |data: &[u8]| host.decompressor(&request)?.decompress(data, None);
            return decompress_whole(py, compressed, decompress);
        }
    };
    filled_bytes(py, compressed, metadata.original_size, move |data, out| {
        host.decompress_into(data, Some(&metadata), out).map(drop)
    })
}

/// As decompress_data(), to the start of `out`, a writable buffer (bytearray, numpy array, mmap); answers how many bytes it is.
///
/// A buffer that is too short is a ValueError. What `out` holds after an error means nothing; Ctrl-C leaves it lent until the work has ended.
#[pyfunction]
#[pyo3(signature = (compressed, out, metadata = None))]
fn decompress_into(py: Python<'_>, compressed: Data, out: Room, metadata: Option<Known>) -> PyResult<usize> {
    let host = host(py)?;
    if out.overlaps(&compressed) {
        return Err(PyValueError::new_err("`out` shares memory with the data; give a buffer of its own"));
    }
    let decompress = move |data: &[u8], out: &mut [u8]| match metadata {
        None => host.decompress_into(data, None, out),
        Some(Known::Checks(metadata)) => host.decompress_into(data, Some(&metadata), out),
        Some(Known::Algorithm(algorithm)) => {
            let raw = host.decompressor(&Request::new(&algorithm))?.decompress(data, None)?;
            let room = out.len();
            let start = out.get_mut(..raw.len()).ok_or_else(|| Error::no_room(raw.len() as u64, room))?;
            start.copy_from_slice(&raw);
            Ok(raw.len())
        }
    };
    written(py, compressed, out, decompress).map(|(_, len)| len)
}

/// Decompresses a container, or what its first bytes say it is.
pub(crate) fn decompress_any(
    py: Python<'_>,
    host: &'static Arc<Host>,
    compressed: Data,
) -> PyResult<Py<PyBytes>> {
    // A size that is not true is noticed before the result is given away.
    if let Some(raw_bytes) = container_raw_bytes(compressed.as_slice()) {
        return filled_bytes(py, compressed, raw_bytes, move |data, out| {
            host.decompress_chunked_into(data, out)
        });
    }
    decompress_whole(py, compressed, move |data| host.decompress_chunked(data))
}

/// Decompresses by `decompress`, which answers a buffer of its own.
pub(crate) fn decompress_whole(
    py: Python<'_>,
    compressed: Data,
    decompress: impl FnOnce(&[u8]) -> Result<Vec<u8>> + Send + 'static,
) -> PyResult<Py<PyBytes>> {
    let out = run(py, compressed, decompress, raise_decompressing)?;
    Ok(PyBytes::new(py, &out).unbind())
}

/// Compresses any bytes-like object in chunks of `chunk_size` bytes, on all processors or `threads` of them, into a container that
/// standard tools of the algorithm read too.
///
/// `parity` is recovery data, in percent: damage to about as much of the result can be repaired.
#[pyfunction]
#[pyo3(signature = (data, algorithm = "zstd", chunk_size = 4194304, *, level = None, threads = None, parity = 0))]
fn compress_chunked<'py>(
    py: Python<'py>,
    data: Data,
    algorithm: &str,
    chunk_size: Option<usize>,
    level: Option<i32>,
    threads: Option<usize>,
    parity: u8,
) -> PyResult<Bound<'py, PyBytes>> {
    let host = host(py)?;
    let request = Request { level, ..Request::new(algorithm) };
    let options = CompressOptions {
        chunk_bytes: chunk_size,
        threads,
        parity_percent: parity,
        ..CompressOptions::default()
    };
    let compress = move |data: &[u8]| host.safe_compress_with(data, &request.like(data), &options);
    let (out, _) = run(py, data, compress, raise)?;
    Ok(PyBytes::new(py, &out))
}

/// Decompresses what compress_chunked() made, on all processors; also containers and frames of other tools.
#[pyfunction]
fn decompress_chunked(py: Python<'_>, compressed: Data) -> PyResult<Py<PyBytes>> {
    decompress_any(py, host(py)?, compressed)
}

/// What the container in `compressed` is, by its records: algorithm, sizes, hashes and chunks, without decoding it.
#[pyfunction]
fn chunked_header_info<'py>(py: Python<'py>, compressed: Data) -> PyResult<Bound<'py, PyAny>> {
    to_python(py, &header_info(compressed.as_slice()).map_err(raise_decompressing)?)
}

/// Compresses `data` so that damage to up to 10 % of the result can be repaired; each frame is decoded and compared before the call returns.
///
/// Answers the compressed bytes and metadata, as compress_data() does.
#[pyfunction]
#[pyo3(signature = (data, algorithm = "zstd", *, level = None, parity = 10))]
fn safe_compress<'py>(
    py: Python<'py>,
    data: Data,
    algorithm: &str,
    level: Option<i32>,
    parity: u8,
) -> PyResult<Compressed<'py>> {
    let host = host(py)?;
    let request = Request { level, ..Request::new(algorithm) };
    let options = CompressOptions { parity_percent: parity, verify: true, ..CompressOptions::default() };
    compress_whole(py, data, move |data| host.safe_compress_with(data, &request.like(data), &options))
}

/// Decompresses `compressed`, repairs damage where that is possible, and warns (UserWarning) when it did.
///
/// What cannot be repaired raises IntegrityError; with `on_damage` "skip" or "zero" the rest is returned without what is lost, or with zeros
/// in its place, and the warning names the lost ranges.
#[pyfunction]
#[pyo3(signature = (compressed, *, on_damage = "error"))]
fn safe_decompress<'py>(py: Python<'py>, compressed: Data, on_damage: &str) -> PyResult<Bound<'py, PyBytes>> {
    let on_damage = match on_damage {
        "error" => OnDamage::Error,
        "skip" => OnDamage::Skip,
        "zero" => OnDamage::Zero,
        other => {
            return Err(PyValueError::new_err(format!("on_damage is error, skip or zero, not `{other}`")));
        }
    };
    let host = host(py)?;
    let restored = run(py, compressed, move |data| Ok(host.safe_decompress(data, on_damage)), raise)?;
    let (data, what) = match restored {
        Restored::Intact(data) => (data, None),
        Restored::Repaired { data, what } => (data, Some(format!("repaired: {}", what.join("; ")))),
        Restored::Partial { data, lost, what } => {
            let lost: Vec<String> = lost.iter().map(|r| format!("{}..{}", r.start, r.end)).collect();
            (data, Some(format!("bytes {} are lost: {}", lost.join(", "), what.join("; "))))
        }
        Restored::Failed(e) => return Err(raise_decompressing(e)),
    };
    what.map_or(Ok(()), |text| warn(py, text))?;
    Ok(PyBytes::new(py, &data))
}

fn warn(py: Python<'_>, text: String) -> PyResult<()> {
    let text = std::ffi::CString::new(text).unwrap_or_else(|_| c_str!("damaged").to_owned());
    PyErr::warn(py, &py.get_type::<PyUserWarning>(), &text, 1)
}

/// Compresses `data` as the policy of `resource_type` says how. Answers the compressed bytes and metadata, as compress_data() does.
#[pyfunction]
fn compress_by_type<'py>(py: Python<'py>, data: Data, resource_type: String) -> PyResult<Compressed<'py>> {
    let host = host(py)?;
    let compress = move |data: &[u8]| {
        host.policies()?.reload_if_changed()?;
        host.compress_with_policy(data, &resource_type)
    };
    compress_whole(py, data, compress)
}

/// The policy in force for resources of a type, as a dictionary; that of `default` for types that no policy file names.
#[pyfunction]
fn get_resource_policy<'py>(py: Python<'py>, resource_type: String) -> PyResult<Bound<'py, PyAny>> {
    let host = host(py)?;
    let policy = py.detach(|| {
        host.policies()?.reload_if_changed()?;
        host.get_resource_policy(&resource_type)
    });
    to_python(py, &policy.map_err(raise)?)
}

/// The best algorithm, level and implementation for data like `data`, by measuring all that is installed on up to a MiB of it: seconds.
///
/// `objective` is speed, balanced or ratio.
#[pyfunction]
#[pyo3(signature = (data, objective = "balanced"))]
fn get_recommended_algorithm<'py>(
    py: Python<'py>,
    data: Data,
    objective: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let objective: Objective = objective.parse().map_err(PyValueError::new_err)?;
    let host = host(py)?;
    let measure = move || host.get_recommended_algorithm(data.as_slice(), objective);
    to_python(py, &run_beside(py, measure, raise)?)
}

/// Measures each hardware of this machine with `data_size` bytes of built-in data: its fastest implementation's speeds, in MB/s, and ratio.
///
/// Hardware that cannot be used is left out; list_plugins() says why.
#[pyfunction]
#[pyo3(signature = (data_size = 52428800, iterations = 3))]
fn benchmark_hardware(py: Python<'_>, data_size: usize, iterations: u32) -> PyResult<Bound<'_, PyDict>> {
    let host = host(py)?;
    let figures = run_beside(py, move || host.benchmark_hardware(data_size, iterations), raise)?;
    let all = PyDict::new(py);
    for (hardware, figures) in figures {
        if figures.best.is_some() {
            all.set_item(hardware, to_python(py, &figures)?)?;
        }
    }
    Ok(all)
}

/// Compresses the file `input` into the file `output`, which appears whole or not at all. What its name says is what it is: .zst, .lz4, .gz,
/// .bz2, .xz, .sz, or .cmc for any algorithm. Answers what was done, as a dictionary.
#[pyfunction]
#[pyo3(signature = (input, output, algorithm = "zstd", *, level = None, threads = None, parity = 0, overwrite = false))]
#[expect(clippy::too_many_arguments, reason = "keywords in Python")]
fn compress_file<'py>(
    py: Python<'py>,
    input: PathBuf,
    output: PathBuf,
    algorithm: &str,
    level: Option<i32>,
    threads: Option<usize>,
    parity: u8,
    overwrite: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let host = host(py)?;
    let request = Request { level, ..Request::new(algorithm) };
    let options = CompressOptions { threads, parity_percent: parity, ..CompressOptions::default() };
    let compress = move || host.compress_file(&input, &output, overwrite, &request, &options, &|_| {});
    to_python(py, &run_beside(py, compress, raise)?)
}

/// Decompresses the file `input`, whoever wrote it, into the file `output`, which appears whole or not at all. Answers what was done, as a
/// dictionary; warns (UserWarning) of damage that was repaired.
#[pyfunction]
#[pyo3(signature = (input, output, *, overwrite = false))]
fn decompress_file<'py>(
    py: Python<'py>,
    input: PathBuf,
    output: PathBuf,
    overwrite: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let host = host(py)?;
    let decompress = move || host.decompress_file(&input, &output, overwrite, &Default::default(), &|_| {});
    let summary = run_beside(py, decompress, raise_decompressing)?;
    summary.warnings.iter().try_for_each(|text| warn(py, text.clone()))?;
    to_python(py, &summary)
}

/// What is installed, a dictionary for each implementation, as `clipsmaster-host list-plugins --json` has it.
#[pyfunction]
fn list_plugins(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let host = host(py)?;
    to_python(py, &py.detach(|| host.list()))
}

/// Names of the algorithms that can be used.
#[pyfunction]
fn algorithms(py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
    let host = host(py)?;
    PyTuple::new(py, py.detach(|| host.algorithms()))
}

/// Looks again at the plugins folders: new files are proven, changed ones proven anew, missing ones gone.
#[pyfunction]
fn refresh(py: Python<'_>) -> PyResult<()> {
    let host = host(py)?;
    run_beside(py, move || host.refresh(), raise)
}
