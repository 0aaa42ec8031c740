//! The host's errors as exceptions.

use clipsmaster_host::Error;
use clipsmaster_plugin_api::ErrorKind;
use pyo3::{
    create_exception,
    exceptions::{PyException, PyFileExistsError, PyMemoryError, PyOSError, PyValueError},
    prelude::*,
};
use std::cell::RefCell;

create_exception!(
    clipsmaster.compression.error_handling,
    CompressionError,
    PyException,
    "Compressing failed, or nothing installed can do what was asked for. Base of all of this package's exceptions."
);
create_exception!(
    clipsmaster.compression.error_handling,
    DecompressionError,
    CompressionError,
    "Decompressing failed."
);
create_exception!(
    clipsmaster.compression.error_handling,
    CompressionFormatError,
    DecompressionError,
    "The data is in no format that can be read."
);
create_exception!(
    clipsmaster.compression.error_handling,
    MagicHeaderError,
    CompressionFormatError,
    "The data does not begin as any known format does."
);
create_exception!(
    clipsmaster.compression.error_handling,
    IntegrityError,
    DecompressionError,
    "The data is damaged, cut short, or not what its metadata says."
);
create_exception!(
    clipsmaster.compression.error_handling,
    StoreFullError,
    CompressionError,
    "A resource does not fit into the budget of its store."
);

pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("CompressionError", py.get_type::<CompressionError>())?;
    module.add("DecompressionError", py.get_type::<DecompressionError>())?;
    module.add("CompressionFormatError", py.get_type::<CompressionFormatError>())?;
    module.add("MagicHeaderError", py.get_type::<MagicHeaderError>())?;
    module.add("IntegrityError", py.get_type::<IntegrityError>())?;
    module.add("StoreFullError", py.get_type::<StoreFullError>())
}

/// The exception for `e`, met while compressing or asking.
pub(crate) fn raise(e: Error) -> PyErr {
    exception(e, &CompressionError::new_err)
}

/// The exception for `e`, met while decompressing.
pub(crate) fn raise_decompressing(e: Error) -> PyErr {
    exception(e, &DecompressionError::new_err)
}

thread_local! {
    static INTERRUPTED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// Keeps what ended a codec written in Python and is not its failure, KeyboardInterrupt most of all, for the call that it is in.
pub(crate) fn interrupted(e: PyErr) {
    INTERRUPTED.set(Some(e));
}

fn exception(e: Error, otherwise: &dyn Fn(String) -> PyErr) -> PyErr {
    if let Some(e) = INTERRUPTED.take() {
        return e;
    }
    let text = e.to_string();
    match e {
        Error::Usage(_) | Error::Config { .. } | Error::Policy { .. } => PyValueError::new_err(text),
        Error::UnknownFormat { .. } => MagicHeaderError::new_err(text),
        Error::Damaged { .. } | Error::Container { .. } | Error::Mismatch(_) => IntegrityError::new_err(text),
        Error::Codec { source, .. } if source.kind == ErrorKind::OutOfMemory => PyMemoryError::new_err(text),
        Error::StoreFull { .. } => StoreFullError::new_err(text),
        Error::Resource { resource, source } => {
            exception(*source, &|inner| otherwise(format!("resource {resource}: {inner}")))
        }
        Error::Exists(path) => PyFileExistsError::new_err((
            17,
            "exists; say overwrite=True to replace it, or take another name",
            path.display().to_string(),
        )),
        Error::Io { action, path, source } => match source.raw_os_error() {
            Some(code) => {
                PyOSError::new_err((code, format!("cannot {action}: {source}"), path.display().to_string()))
            }
            None => PyOSError::new_err(text),
        },
        _ => otherwise(text),
    }
}
