//! Codecs written in Python, as the host's own.
//!
//! What such a codec answers is kept in a frame: [`MAGIC`], the length of the algorithm's name as a byte, the name, the length of what follows
//! as 8 bytes (little-endian), and that. So frames are told apart, ends are found, and a missing piece is noticed, whatever the codec does.

use crate::{
    data::Data,
    errors::{interrupted, raise},
    process,
};
use clipsmaster_host::{Error, Host, PluginReport, Result, algorithm::canonical};
use clipsmaster_plugin_api as api;
use pyo3::{
    exceptions::{PyException, PyTypeError, PyValueError},
    prelude::*,
    types::PyBytes,
};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

const MAGIC: &[u8] = b"CMPY";
const LENGTH_BYTES: usize = 8;
/// Codecs that a process can have.
const MOST: usize = 16;

/// A class, and what it was registered as.
struct Registered {
    class: Py<PyAny>,
    has_levels: bool,
    prefix: &'static [u8],
    id: String,
    version: String,
    descriptor: api::Descriptor,
    /// What was found out about it; a forked child need not again.
    proven: OnceLock<PluginReport>,
}

static REGISTERED: [RwLock<Option<Arc<Registered>>>; MOST] = [const { RwLock::new(None) }; MOST];
static REGISTERING: Mutex<()> = Mutex::new(());

fn registered(number: usize) -> Option<Arc<Registered>> {
    REGISTERED[number].read().unwrap_or_else(PoisonError::into_inner).clone()
}

fn set_registered(number: usize, registered: Option<Arc<Registered>>) {
    *REGISTERED[number].write().unwrap_or_else(PoisonError::into_inner) = registered;
}

/// The codec of class number `N`.
struct Own<const N: usize> {
    registered: Arc<Registered>,
    object: Py<PyAny>,
}

/// Calls into Python. At the interpreter's end there is none.
fn attached<T>(f: impl for<'py> FnOnce(Python<'py>) -> PyResult<T>, kind: api::ErrorKind) -> api::Result<T> {
    let told = |py: Python<'_>, e: PyErr| {
        let text = e.value(py).repr().map_or_else(|_| "an exception".into(), |r| r.to_string());
        if !e.is_instance_of::<PyException>(py) {
            interrupted(e);
        }
        api::Error::new(kind, text)
    };
    Python::try_attach(|py| f(py).map_err(|e| told(py, e)))
        .unwrap_or_else(|| Err(api::Error::internal("the interpreter is ending")))
}

/// The bytes that a method answers for `src`, to the start of `dst`.
fn call(
    object: &Py<PyAny>,
    method: &str,
    src: &[u8],
    dst: &mut [u8],
    kind: api::ErrorKind,
) -> api::Result<usize> {
    let answer = attached(
        |py| {
            let answer = object.bind(py).call_method1(method, (PyBytes::new(py, src),))?;
            let answer: Data = answer.extract()?;
            let len = answer.as_slice().len();
            Ok(dst.get_mut(..len).map(|dst| {
                dst.copy_from_slice(answer.as_slice());
                len
            }))
        },
        kind,
    )?;
    answer.ok_or_else(|| api::ErrorKind::DestinationTooSmall.into())
}

impl<const N: usize> api::Codec for Own<N> {
    const DESCRIPTOR: api::Descriptor = api::Descriptor::new("", "");

    fn open(level: i32, _options: &api::Options) -> api::Result<Self> {
        let registered = registered(N).ok_or_else(|| api::Error::internal("no class is registered here"))?;
        let make = |py: Python<'_>| {
            let class = registered.class.bind(py);
            Ok(if registered.has_levels { class.call1((level,))? } else { class.call0()? }.unbind())
        };
        let object = attached(make, api::ErrorKind::Internal)?;
        Ok(Self { registered, object })
    }

    fn compress_bound(&self, len: usize) -> usize {
        len + len / 4 + (64 << 10)
    }

    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> api::Result<usize> {
        let prefix = self.registered.prefix;
        let front = prefix.len() + LENGTH_BYTES;
        let (header, body) = dst.split_at_mut_checked(front).ok_or(api::ErrorKind::DestinationTooSmall)?;
        let len = call(&self.object, "compress", src, body, api::ErrorKind::Internal)?;
        header[..prefix.len()].copy_from_slice(prefix);
        header[prefix.len()..].copy_from_slice(&(len as u64).to_le_bytes());
        Ok(front + len)
    }

    fn decompress(&mut self, mut src: &[u8], dst: &mut [u8]) -> api::Result<usize> {
        let prefix = self.registered.prefix;
        let mut filled = 0;
        while !src.is_empty() {
            let rest = src.strip_prefix(prefix).ok_or(if prefix.starts_with(src) {
                api::ErrorKind::Truncated
            } else {
                api::ErrorKind::Corrupt
            })?;
            let (len, rest) = rest.split_first_chunk::<LENGTH_BYTES>().ok_or(api::ErrorKind::Truncated)?;
            let len = usize::try_from(u64::from_le_bytes(*len)).map_err(|_| api::ErrorKind::Corrupt)?;
            let (body, rest) = rest.split_at_checked(len).ok_or(api::ErrorKind::Truncated)?;
            filled += call(&self.object, "decompress", body, &mut dst[filled..], api::ErrorKind::Corrupt)?;
            src = rest;
        }
        Ok(filled)
    }
}

/// Registers `N` with the host, if there is such a class.
fn register<const N: usize>(host: &Host) -> Result<()> {
    let Some(class) = registered(N) else { return Ok(()) };
    let proven = class.proven.get().cloned();
    let report = host.register_as::<Own<N>>(&class.id, &class.version, class.descriptor, proven)?;
    let _ = class.proven.set(report);
    Ok(())
}

/// By number.
const REGISTER: [fn(&Host) -> Result<()>; MOST] = [
    register::<0>,
    register::<1>,
    register::<2>,
    register::<3>,
    register::<4>,
    register::<5>,
    register::<6>,
    register::<7>,
    register::<8>,
    register::<9>,
    register::<10>,
    register::<11>,
    register::<12>,
    register::<13>,
    register::<14>,
    register::<15>,
];

/// Registers all classes with a host that has just been opened.
pub(crate) fn register_all(host: &Host) -> Result<()> {
    REGISTER.iter().try_for_each(|register| register(host))
}

/// Adds a codec written in Python under the name of its algorithm, in this process and the children that it forks.
///
/// `compressor` is a class, or anything that makes objects when called, whose objects have `compress(data: bytes)` and
/// `decompress(data: bytes)`, both answering a bytes-like object. It is proven before the call returns: what does not come back as it was, or
/// a damaged frame that is not noticed where that can be, is refused with the name of the case. With `levels` (lowest, highest, default) it
/// is called with the level.
#[pyfunction]
#[pyo3(signature = (algorithm, compressor, *, levels = None, version = "1"))]
pub(crate) fn register_compressor(
    py: Python<'_>,
    algorithm: &str,
    compressor: Py<PyAny>,
    levels: Option<(i32, i32, i32)>,
    version: &str,
) -> PyResult<()> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    if algorithm.is_empty() || algorithm.len() > 40 || !algorithm.chars().all(is_name) {
        return Err(PyValueError::new_err("an algorithm's name is 1 to 40 of a-z, 0-9, `-`, `_` and `.`"));
    }
    if !compressor.bind(py).is_callable() {
        return Err(PyTypeError::new_err(
            "a compressor is a class, or a function that makes objects with compress() and decompress()",
        ));
    }
    let host = process::host(py)?;
    if host.algorithms().iter().any(|known| *known == canonical(algorithm)) {
        return Err(PyValueError::new_err(format!("{algorithm} is there already; take another name")));
    }
    let mut prefix = MAGIC.to_vec();
    prefix.push(algorithm.len() as u8);
    prefix.extend(algorithm.as_bytes());
    let prefix: &'static [u8] = prefix.leak();
    let name: &'static str = algorithm.to_owned().leak();
    let mut descriptor =
        api::Descriptor::new(name, "python").file("", prefix).threads(api::Threads::SERIALISED);
    if let Some((min, max, default)) = levels {
        if !(min <= default && default <= max) {
            return Err(PyValueError::new_err("levels are (lowest, highest, default)"));
        }
        descriptor = descriptor.levels(min, max, default);
    }
    let new = Registered {
        class: compressor,
        has_levels: levels.is_some(),
        prefix,
        id: format!("python-{algorithm}"),
        version: version.to_owned(),
        descriptor,
        proven: OnceLock::new(),
    };
    py.detach(|| {
        let _alone = REGISTERING.lock().unwrap_or_else(PoisonError::into_inner);
        let free = (0..MOST).find(|number| registered(*number).is_none());
        let full =
            || Error::Usage(format!("a process can have {MOST} codecs written in Python, and has them"));
        let number = free.ok_or_else(full)?;
        set_registered(number, Some(Arc::new(new)));
        REGISTER[number](host).inspect_err(|_| set_registered(number, None))
    })
    .map_err(raise)
}
