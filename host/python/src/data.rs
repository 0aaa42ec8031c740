//! Python's buffers as slices, results as `bytes`, and long calls that can be interrupted.

#![expect(unsafe_code, reason = "memory of Python objects, as CPython's documentation promises it")]

use crate::errors::{IntegrityError, raise_decompressing};
use clipsmaster_host::{Metadata, Result};
use pyo3::{
    exceptions::{PyMemoryError, PyTypeError, PyValueError},
    ffi, intern,
    prelude::*,
    types::{PyBytes, PyDict, PyMapping},
};
use serde::Serialize;
use std::{
    cell::RefCell,
    ffi::c_int,
    mem::ManuallyDrop,
    sync::{
        Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

/// Calls on this many bytes and more look for Ctrl-C while they work.
const INTERRUPTIBLE_BYTES: usize = 8 << 20;
/// How often they do.
const SIGNALS_EVERY: Duration = Duration::from_millis(50);
/// Longest buffer, in bytes, that a thread keeps for its next call.
const KEPT_BYTES: usize = 4 << 20;

/// The bytes of a Python object, which it lends without a copy.
pub(crate) struct Data {
    start: *const u8,
    len: usize,
    owner: ManuallyDrop<Owner>,
}

/// What keeps the bytes in their place.
enum Owner {
    /// Never changes, so that no export is needed.
    Bytes(#[expect(dead_code, reason = "kept for its memory")] Py<PyBytes>),
    Buffer(Box<ffi::Py_buffer>),
}

// SAFETY: the pointers are into the object that is kept, which any thread may do; it is given back with the interpreter's lock held.
unsafe impl Send for Data {}
// SAFETY: as above; the bytes are only read.
unsafe impl Sync for Data {}

impl Data {
    pub(crate) fn as_slice(&self) -> &[u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: an immutable `bytes` object, or an export that keeps its memory in place (PEP 3118). Whoever writes to an exported
        // buffer meanwhile gets compressed what was there at some time, which the checksums then tell.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }

    /// Exported with `flags` of PEP 3118.
    fn of_buffer(object: &Borrowed<'_, '_, PyAny>, flags: c_int) -> PyResult<Self> {
        let mut view = Box::new(ffi::Py_buffer::new());
        // SAFETY: an object, and a view to fill in; what is not one piece of bytes in C order is refused.
        let code = unsafe { ffi::PyObject_GetBuffer(object.as_ptr(), &mut *view, flags) };
        if code != 0 {
            return Err(PyErr::fetch(object.py()));
        }
        let (start, len) = (view.buf.cast_const().cast(), view.len.cast_unsigned());
        Ok(Self { start, len, owner: ManuallyDrop::new(Owner::Buffer(view)) })
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Self::Buffer(view) = self {
            // SAFETY: it was filled in by `PyObject_GetBuffer`, and is released once. `give_back` holds the interpreter's lock.
            unsafe { ffi::PyBuffer_Release(&mut **view) };
        }
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        // SAFETY: it is not used after this.
        give_back(unsafe { ManuallyDrop::take(&mut self.owner) });
    }
}

/// Drops what is Python's. At the end of the interpreter nothing can be given back any more.
fn give_back<T>(object: T) {
    let mut object = Some(object);
    if Python::try_attach(|_| drop(object.take())).is_none() {
        std::mem::forget(object);
    }
}

impl<'py> FromPyObject<'_, 'py> for Data {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let Ok(bytes) = object.cast_exact::<PyBytes>() else {
            return Self::of_buffer(&object, ffi::PyBUF_SIMPLE);
        };
        let (start, len) = (bytes.as_bytes().as_ptr(), bytes.as_bytes().len());
        Ok(Self { start, len, owner: ManuallyDrop::new(Owner::Bytes(bytes.to_owned().unbind())) })
    }
}

/// A Python object's bytes to write to.
pub(crate) struct Room(Data);

impl Room {
    /// Whether some of its bytes are some of `data`.
    pub(crate) fn overlaps(&self, data: &Data) -> bool {
        let (own, other) = (self.0.start.addr(), data.start.addr());
        own < other.saturating_add(data.len) && other < own.saturating_add(self.0.len)
    }
}

impl<'py> FromPyObject<'_, 'py> for Room {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        Data::of_buffer(&object, ffi::PyBUF_WRITABLE).map(Self)
    }
}

/// Does `work` on `data` without the interpreter's lock. A long one is done beside, so that Ctrl-C ends the call: then the work goes
/// on unseen to its end, with the buffer that it was lent.
pub(crate) fn run<T: Send + 'static>(
    py: Python<'_>,
    data: Data,
    work: impl FnOnce(&[u8]) -> Result<T> + Send + 'static,
    raise: impl Fn(clipsmaster_host::Error) -> PyErr,
) -> PyResult<T> {
    if data.as_slice().len() < INTERRUPTIBLE_BYTES {
        return py.detach(|| work(data.as_slice())).map_err(raise);
    }
    run_beside(py, move || work(data.as_slice()), raise)
}

/// Does `work`, which takes long, in a thread of its own, and looks for Ctrl-C meanwhile.
pub(crate) fn run_beside<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce() -> Result<T> + Send + 'static,
    raise: impl Fn(clipsmaster_host::Error) -> PyErr,
) -> PyResult<T> {
    let (send, mut receive) = mpsc::channel();
    thread::Builder::new()
        .name("clipsmaster".into())
        .spawn(move || send.send(work()))
        .map_err(|e| PyMemoryError::new_err(format!("no thread for a long call: {e}")))?;
    loop {
        let receive = &mut receive;
        match py.detach(move || receive.recv_timeout(SIGNALS_EVERY)) {
            Ok(answer) => return answer.map_err(raise),
            Err(RecvTimeoutError::Timeout) => py.check_signals()?,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(PyValueError::new_err("a panic ended the call; this is a defect of the host"));
            }
        }
    }
}

/// What compressing writes to.
#[derive(Default)]
pub(crate) struct Scratch {
    /// The compressed bytes, and perhaps more behind them.
    pub(crate) out: Vec<u8>,
    pub(crate) metadata: Metadata,
}

thread_local! {
    /// Used again and again.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Scratch {
    /// What this thread has kept, and has no more: a codec written in Python may call the package again.
    pub(crate) fn take() -> Self {
        SCRATCH.take()
    }

    pub(crate) fn keep(self) {
        if self.out.capacity() <= KEPT_BYTES {
            SCRATCH.set(self);
        }
    }
}

/// A `bytes` object that is being written, by one thread.
struct Unwritten {
    object: ManuallyDrop<Py<PyBytes>>,
    start: *mut u8,
    len: usize,
}

// SAFETY: the pointer is into the object beside it, which nobody else has yet.
unsafe impl Send for Unwritten {}

impl Unwritten {
    fn new(py: Python<'_>, len: usize) -> PyResult<Self> {
        let size = ffi::Py_ssize_t::try_from(len)
            .map_err(|_| PyMemoryError::new_err(format!("no memory for {len} bytes")))?;
        // SAFETY: a null pointer asks for an object of that size without content.
        let object = unsafe { ffi::PyBytes_FromStringAndSize(std::ptr::null(), size) };
        // SAFETY: a new reference, or null with an exception set.
        let object = unsafe { Bound::from_owned_ptr_or_err(py, object)? };
        // SAFETY: it is a bytes object.
        let start = unsafe { ffi::PyBytes_AsString(object.as_ptr()) };
        let object = ManuallyDrop::new(object.cast_into::<PyBytes>()?.unbind());
        Ok(Self { object, start: start.cast(), len })
    }

    fn into_bytes(mut self) -> Py<PyBytes> {
        // SAFETY: `self` is forgotten, so that it is taken once.
        let object = unsafe { ManuallyDrop::take(&mut self.object) };
        std::mem::forget(self);
        object
    }
}

impl Drop for Unwritten {
    fn drop(&mut self) {
        // SAFETY: it is not used after this.
        give_back(unsafe { ManuallyDrop::take(&mut self.object) });
    }
}

/// What is written to, by one thread.
pub(crate) trait Out: Send + 'static {
    fn slice(&mut self) -> &mut [u8];
}

impl Out for Unwritten {
    fn slice(&mut self) -> &mut [u8] {
        // SAFETY: the object's own `len` bytes, and `self` is the only one who knows them. Any bit pattern is a byte; nobody reads what
        // memory held before, since the object is given away only when all of it was written.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len) }
    }
}

impl Out for Room {
    fn slice(&mut self) -> &mut [u8] {
        if self.0.len == 0 {
            return &mut [];
        }
        // SAFETY: a writable export keeps its memory in place (PEP 3118), and what is read meanwhile was found to be elsewhere. Whoever
        // else uses a buffer that was lent to be written to sees what is there at that time.
        unsafe { std::slice::from_raw_parts_mut(self.0.start.cast_mut(), self.0.len) }
    }
}

/// Does what [`run`] does, with something to write to; answers that, and what `fill` does.
pub(crate) fn written<O: Out, T: Send + 'static>(
    py: Python<'_>,
    data: Data,
    mut out: O,
    fill: impl FnOnce(&[u8], &mut [u8]) -> Result<T> + Send + 'static,
) -> PyResult<(O, T)> {
    if data.as_slice().len().max(out.slice().len()) < INTERRUPTIBLE_BYTES {
        let answer = py.detach(|| fill(data.as_slice(), out.slice()));
        return answer.map(|answer| (out, answer)).map_err(raise_decompressing);
    }
    let write = move || fill(data.as_slice(), out.slice()).map(|answer| (out, answer));
    run_beside(py, write, raise_decompressing)
}

/// `bytes` of `len` bytes that `fill` writes from `data`, all of them unless it fails.
pub(crate) fn filled_bytes(
    py: Python<'_>,
    data: Data,
    len: u64,
    fill: impl FnOnce(&[u8], &mut [u8]) -> Result<()> + Send + 'static,
) -> PyResult<Py<PyBytes>> {
    let beyond = |_| IntegrityError::new_err(format!("{len} bytes are beyond this machine"));
    let unwritten = Unwritten::new(py, usize::try_from(len).map_err(beyond)?)?;
    written(py, data, unwritten, fill).map(|(unwritten, ())| unwritten.into_bytes())
}

/// Dictionaries with what seldom changes: copying one is quicker than making another.
static TEMPLATES: Mutex<Vec<Template>> = Mutex::new(Vec::new());

struct Template {
    implementation: String,
    level: i32,
    dict: Py<PyDict>,
}

impl Template {
    /// Most of them: levels times implementations.
    const MOST: usize = 64;

    fn new(py: Python<'_>, metadata: &Metadata) -> PyResult<Self> {
        let dict = PyDict::new(py);
        dict.set_item(intern!(py, "algorithm"), &metadata.algorithm)?;
        dict.set_item(intern!(py, "implementation"), &metadata.implementation)?;
        dict.set_item(intern!(py, "hardware"), &metadata.hardware)?;
        dict.set_item(intern!(py, "level"), metadata.level)?;
        set_measures(&dict, metadata)?;
        let implementation = metadata.implementation.clone();
        Ok(Self { implementation, level: metadata.level, dict: dict.unbind() })
    }
}

fn set_measures(dict: &Bound<'_, PyDict>, metadata: &Metadata) -> PyResult<()> {
    let py = dict.py();
    dict.set_item(intern!(py, "original_size"), metadata.original_size)?;
    dict.set_item(intern!(py, "compressed_size"), metadata.compressed_size)?;
    dict.set_item(intern!(py, "ratio"), metadata.ratio)?;
    dict.set_item(intern!(py, "crc32"), metadata.crc32)?;
    dict.set_item(intern!(py, "seconds"), metadata.seconds)
}

/// `metadata` as the documented dictionary.
pub(crate) fn metadata_to_python<'py>(py: Python<'py>, metadata: &Metadata) -> PyResult<Bound<'py, PyDict>> {
    // Nothing of Python's is called with the lock held: it may give its own lock away, or collect garbage that comes here.
    let known = with_templates(|templates| {
        let is_it = |t: &&Template| t.level == metadata.level && t.implementation == metadata.implementation;
        templates.iter().find(is_it).map(|template| template.dict.clone_ref(py))
    });
    if let Some(template) = known {
        let dict = template.bind(py).copy()?;
        set_measures(&dict, metadata)?;
        return Ok(dict);
    }
    let new = Template::new(py, metadata)?;
    let dict = new.dict.bind(py).copy();
    with_templates(|templates| {
        if templates.len() < Template::MOST {
            templates.push(new);
        }
    });
    dict
}

fn with_templates<T>(f: impl FnOnce(&mut Vec<Template>) -> T) -> T {
    f(&mut TEMPLATES.lock().unwrap_or_else(PoisonError::into_inner))
}

/// What decompressing needs of metadata.
pub(crate) enum Known {
    /// Size and CRC-32, to check by.
    Checks(Metadata),
    /// No more than the algorithm.
    Algorithm(String),
}

impl<'py> FromPyObject<'_, 'py> for Known {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let py = object.py();
        let dict;
        let dict = match object.cast::<PyDict>() {
            Ok(dict) => dict,
            // Any other mapping.
            Err(_) => {
                let mapping = object.cast::<PyMapping>().map_err(|_| {
                    PyTypeError::new_err(
                        "metadata is what compressing answered beside the data: a dictionary",
                    )
                })?;
                dict = PyDict::new(py);
                dict.update(&mapping)?;
                dict.as_borrowed()
            }
        };
        let algorithm = dict.get_item(intern!(py, "algorithm"))?;
        let algorithm: String =
            algorithm.ok_or_else(|| PyValueError::new_err("metadata has no `algorithm`"))?.extract()?;
        let size = dict.get_item(intern!(py, "original_size"))?.map(|v| v.extract::<u64>()).transpose()?;
        let crc = dict.get_item(intern!(py, "crc32"))?.map(|v| v.extract::<u32>()).transpose()?;
        Ok(match size.zip(crc) {
            Some((original_size, crc32)) => {
                Self::Checks(Metadata { algorithm, original_size, crc32, ..Metadata::default() })
            }
            None => Self::Algorithm(algorithm),
        })
    }
}

/// `value` as Python's own types, by way of JSON.
pub(crate) fn to_python<'py>(py: Python<'py>, value: &impl Serialize) -> PyResult<Bound<'py, PyAny>> {
    let text = serde_json::to_string(value).map_err(|e| PyValueError::new_err(e.to_string()))?;
    py.import(intern!(py, "json"))?.call_method1(intern!(py, "loads"), (text,))
}
