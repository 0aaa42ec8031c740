//! Resources within a memory budget.

use crate::{
    data::{Data, run, run_beside, to_python},
    errors::raise,
    process::{generation, host},
};
use clipsmaster_host::store::{Blob, ResourceStore as HostStore, StoreOptions};
use pyo3::{
    exceptions::{PyKeyError, PyRuntimeError, PyTypeError, PyValueError},
    prelude::*,
    types::{PyBytes, PyDict, PyMemoryView, PyString},
};
use std::{path::PathBuf, sync::Arc, time::Duration};

/// An application's resources, kept within a budget of memory: those not asked for lately are compressed by the policy of their type.
///
/// `budget` and `hot` are bytes; `spill_dir` is a folder for what fits nowhere else. With `background` a thread compresses what was idle for
/// `idle` seconds, with at most `cpu_share` of a processor. Ids are `str` or `bytes`. Close it, or use it in a `with` statement, to end its
/// thread and remove its files. It belongs to the process that made it.
#[pyclass(module = "clipsmaster.compression", weakref)]
pub(crate) struct ResourceStore {
    store: Option<Arc<HostStore>>,
    generation: u64,
}

/// A resource's bytes, for a memoryview.
#[pyclass(frozen)]
struct Resource(Blob);

#[pymethods]
impl Resource {
    #[expect(unsafe_code, reason = "the buffer protocol")]
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut pyo3::ffi::Py_buffer,
        flags: std::ffi::c_int,
    ) -> PyResult<()> {
        let bytes: &[u8] = &slf.get().0;
        let (start, len) = (bytes.as_ptr().cast_mut().cast(), bytes.len() as isize);
        // SAFETY: the bytes never change, are lent read-only, and live as long as `slf`, of which the view takes a reference.
        let code = unsafe { pyo3::ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start, len, 1, flags) };
        if code == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}

/// An id as bytes.
struct Id(Vec<u8>);

impl<'py> FromPyObject<'_, 'py> for Id {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(text) = object.cast::<PyString>() {
            return Ok(Self(text.to_cow()?.as_bytes().to_vec()));
        }
        let bytes = object.cast::<PyBytes>();
        bytes.map(|b| Self(b.as_bytes().to_vec())).map_err(|_| PyTypeError::new_err("an id is str or bytes"))
    }
}

impl Id {
    fn missing(&self) -> PyErr {
        PyKeyError::new_err(String::from_utf8_lossy(&self.0).into_owned())
    }
}

impl ResourceStore {
    fn view<'py>(&self, py: Python<'py>, id: &Id) -> PyResult<Option<Bound<'py, PyMemoryView>>> {
        let store = self.store()?;
        let blob = py.detach(|| store.get(&id.0)).map_err(raise)?;
        blob.map(|blob| PyMemoryView::from(Bound::new(py, Resource(blob))?.as_any())).transpose()
    }

    fn store(&self) -> PyResult<Arc<HostStore>> {
        if self.generation != generation() {
            return Err(PyRuntimeError::new_err(
                "this store belongs to the process that made it; make another one after a fork",
            ));
        }
        self.store.clone().ok_or_else(|| PyValueError::new_err("the store is closed"))
    }
}

impl Drop for ResourceStore {
    fn drop(&mut self) {
        if self.generation != generation() {
            // Its thread, and its files, are the parent's.
            std::mem::forget(self.store.take());
        }
    }
}

fn seconds(value: f64, what: &str) -> PyResult<Duration> {
    Duration::try_from_secs_f64(value).map_err(|e| PyValueError::new_err(format!("{what}: {e}")))
}

#[pymethods]
impl ResourceStore {
    #[new]
    #[pyo3(signature = (budget, *, hot = None, spill_dir = None, background = true, cpu_share = 0.15, idle = 2.0, watch_system = true))]
    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    fn new(
        py: Python<'_>,
        budget: u64,
        hot: Option<u64>,
        spill_dir: Option<PathBuf>,
        background: bool,
        cpu_share: f64,
        idle: f64,
        watch_system: bool,
    ) -> PyResult<Self> {
        let idle = seconds(idle, "idle")?;
        let options = StoreOptions {
            hot_bytes: hot,
            spill_dir,
            background,
            cpu_share,
            idle,
            watch_system,
            ..StoreOptions::with_budget(budget)
        };
        let host = host(py)?;
        let store = py.detach(|| HostStore::open(Arc::clone(host), options)).map_err(raise)?;
        Ok(Self { store: Some(Arc::new(store)), generation: generation() })
    }

    /// Takes a resource in, in place of one of the same id; its bytes are copied. Raises StoreFullError where it does not fit.
    #[pyo3(signature = (resource_id, data, resource_type = "default"))]
    fn insert(&self, py: Python<'_>, resource_id: Id, data: Data, resource_type: &str) -> PyResult<()> {
        let (store, resource_type) = (self.store()?, resource_type.to_owned());
        run(py, data, move |data| store.insert(&resource_id.0, &resource_type, data), raise)
    }

    /// A read-only memoryview of a resource's bytes, or None if there is none of that id.
    fn get<'py>(&self, py: Python<'py>, resource_id: Id) -> PyResult<Option<Bound<'py, PyMemoryView>>> {
        self.view(py, &resource_id)
    }

    fn __getitem__<'py>(&self, py: Python<'py>, resource_id: Id) -> PyResult<Bound<'py, PyMemoryView>> {
        self.view(py, &resource_id)?.ok_or_else(|| resource_id.missing())
    }

    /// Bytes `start` to `end` of a resource, of which only the chunks around them are decompressed.
    fn read<'py>(
        &self,
        py: Python<'py>,
        resource_id: Id,
        start: usize,
        end: usize,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let store = self.store()?;
        let bytes =
            py.detach(|| store.with_range(&resource_id.0, start..end, <[u8]>::to_vec)).map_err(raise)?;
        bytes.map(|bytes| PyBytes::new(py, &bytes)).ok_or_else(|| resource_id.missing())
    }

    fn __contains__(&self, resource_id: Id) -> PyResult<bool> {
        Ok(self.store()?.contains(&resource_id.0))
    }

    fn __len__(&self) -> PyResult<usize> {
        Ok(self.store()?.len())
    }

    /// Gives a resource up; whether there was one.
    fn remove(&self, py: Python<'_>, resource_id: Id) -> PyResult<bool> {
        let store = self.store()?;
        Ok(py.detach(|| store.remove(&resource_id.0)))
    }

    /// Compresses a resource now, as the policy of `resource_type` says, whatever its threshold. Answers a dictionary: original and held bytes.
    fn compress_with_policy<'py>(
        &self,
        py: Python<'py>,
        resource_id: Id,
        resource_type: String,
    ) -> PyResult<Bound<'py, PyDict>> {
        let store = self.store()?;
        let (id, missing) = (resource_id.0.clone(), resource_id.missing());
        let compress = move || store.compress_with_policy(&id, &resource_type);
        let done = run_beside(py, compress, raise)?.ok_or(missing)?;
        compressed_to_python(py, &done)
    }

    /// Compresses all resources of at least `min_bytes`, by the policies of their types, now.
    #[pyo3(signature = (min_bytes = 0))]
    fn compress_all<'py>(&self, py: Python<'py>, min_bytes: u64) -> PyResult<Bound<'py, PyDict>> {
        let store = self.store()?;
        let done = run_beside(py, move || Ok(store.compress_all(|_| true, min_bytes)), raise)?;
        compressed_to_python(py, &done)
    }

    /// Keeps a resource decompressed from now on, until it is idle again.
    fn decompress(&self, py: Python<'_>, resource_id: Id) -> PyResult<()> {
        let store = self.store()?;
        let is_there = py.detach(|| store.decompress(&resource_id.0)).map_err(raise)?;
        is_there.then_some(()).ok_or_else(|| resource_id.missing())
    }

    /// Says that a resource is not wanted for now; whether there is one of that id.
    fn release(&self, py: Python<'_>, resource_id: Id) -> PyResult<bool> {
        let store = self.store()?;
        Ok(py.detach(|| store.release(&resource_id.0)))
    }

    /// Makes `bytes` of the budget free; whether there are so many now.
    fn make_room(&self, py: Python<'_>, bytes: u64) -> PyResult<bool> {
        let store = self.store()?;
        Ok(py.detach(|| store.make_room(bytes)))
    }

    /// What it holds and did, by resource type, as a dictionary.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        to_python(py, &self.store()?.stats())
    }

    /// Bytes of the budget that are taken.
    #[getter]
    fn held_bytes(&self) -> PyResult<u64> {
        Ok(self.store()?.held_bytes())
    }

    /// The memory pressure that was seen last: low, medium, high or critical.
    #[getter]
    fn pressure(&self) -> PyResult<String> {
        Ok(self.store()?.pressure().to_string())
    }

    /// Ends its thread, removes its files, and gives all up. Views of resources stay valid.
    fn close(&mut self, py: Python<'_>) {
        if self.generation == generation() {
            let store = self.store.take();
            py.detach(|| drop(store));
        }
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __exit__(&mut self, py: Python<'_>, _kind: Py<PyAny>, _value: Py<PyAny>, _traceback: Py<PyAny>) {
        self.close(py);
    }
}

fn compressed_to_python<'py>(
    py: Python<'py>,
    done: &clipsmaster_host::store::Compressed,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("resources", done.resources)?;
    dict.set_item("original_size", done.raw_bytes)?;
    dict.set_item("held_bytes", done.held_bytes)?;
    dict.set_item("skipped", done.skipped)?;
    Ok(dict)
}
