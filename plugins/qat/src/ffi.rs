//! QATzip's `qatzip.h`, library `libqatzip.so.3`, as far as it is used here; everything unsafe of this plugin.
//!
//! QATzip's software stays off (`sw_backup` 0 everywhere), and only an untroubled start counts as a device: the library answers
//! a second start after a failed one with "done already".

#![expect(unsafe_code, reason = "calls into a C library")]

use clipsmaster_plugin_api::{Error, ErrorKind, Result, Unavailable};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW, Symbol};
use std::{
    cell::UnsafeCell,
    ffi::{CStr, OsStr, OsString, c_char, c_int, c_long, c_uchar, c_uint, c_ulong, c_void},
    os::unix::ffi::OsStrExt,
    ptr,
    sync::OnceLock,
};

/// Names a file of the library instead of the system's.
const PATH_VARIABLE: &CStr = c"CLIPSMASTER_QATZIP";
const SONAME: &str = "libqatzip.so.3";
const REMEDY: &str = "install QATzip and the driver of your QuickAssist device (https://github.com/intel/QATzip), \
                      or CLIPSMASTER_QATZIP=/path/libqatzip.so.3";

const QZ_OK: c_int = 0;
const QZ_DUPLICATE: c_int = 1;
const QZ_PARAMS: c_int = -1;
const QZ_BUF_ERROR: c_int = -3;
const QZ_DATA_ERROR: c_int = -4;
const QZ_INTEG: c_int = -100;
const QZ_NOSW_NO_HW: c_int = -101;
const QZ_NOSW_NO_MDRV: c_int = -102;
const QZ_NOSW_NO_INST_ATTACH: c_int = -103;
const QZ_NOSW_LOW_MEM: c_int = -104;
const QZ_NOSW_UNSUPPORTED_FMT: c_int = -116;
const QZ_NOT_SUPPORTED: c_int = -200;

const QZ_DIR_BOTH: c_uint = 2;
const QZ_DEFLATE_GZIP_EXT: c_uint = 2;
const LOG_NONE: c_uint = 0;
/// `QzSoftwareComponentType_T` has fewer; the count the library tells is not trusted beyond.
const MOST_COMPONENTS: usize = 64;

/// `QzSession_T`.
#[repr(C)]
pub(crate) struct QzSession {
    pub(crate) hw_session_stat: c_long,
    pub(crate) thd_sess_stat: c_int,
    pub(crate) internal: *mut c_void,
    pub(crate) total_in: c_ulong,
    pub(crate) total_out: c_ulong,
}

/// `QzSessionParamsCommon_T`, and `QzSessionParamsLZ4_T`, which has nothing else.
#[repr(C)]
#[derive(Default)]
pub(crate) struct Common {
    pub(crate) direction: c_uint,
    pub(crate) comp_lvl: c_uint,
    pub(crate) comp_algorithm: c_uchar,
    pub(crate) max_forks: c_uint,
    pub(crate) sw_backup: c_uchar,
    pub(crate) hw_buff_sz: c_uint,
    pub(crate) strm_buff_sz: c_uint,
    pub(crate) input_sz_thrshold: c_uint,
    pub(crate) req_cnt_thrshold: c_uint,
    pub(crate) wait_cnt_thrshold: c_uint,
    pub(crate) polling_mode: c_uint,
    pub(crate) is_sensitive_mode: c_uint,
}

/// `QzSessionParamsDeflate_T`.
#[repr(C)]
#[derive(Default)]
pub(crate) struct Deflate {
    pub(crate) common_params: Common,
    pub(crate) huffman_hdr: c_uint,
    pub(crate) data_fmt: c_uint,
}

/// `QzSessionParamsDeflateExt_T`.
#[repr(C)]
#[derive(Default)]
pub(crate) struct DeflateExt {
    pub(crate) deflate_params: Deflate,
    pub(crate) stop_decompression_stream_end: c_uchar,
    pub(crate) zlib_format: c_uchar,
}

/// `QzSoftwareVersionInfo_T`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Component {
    pub(crate) component_type: c_uint,
    pub(crate) component_name: [c_uchar; 64],
    pub(crate) major_version: c_uint,
    pub(crate) minor_version: c_uint,
    pub(crate) patch_version: c_uint,
    pub(crate) build_number: c_uint,
    pub(crate) reserved: [c_uchar; 52],
}

type Compress = unsafe extern "C" fn(
    *mut QzSession,
    *const c_uchar,
    *mut c_uint,
    *mut c_uchar,
    *mut c_uint,
    c_uint,
) -> c_int;
type Decompress =
    unsafe extern "C" fn(*mut QzSession, *const c_uchar, *mut c_uint, *mut c_uchar, *mut c_uint) -> c_int;

/// The functions used, and what keeps them loaded.
struct QatZip {
    init: unsafe extern "C" fn(*mut QzSession, c_uchar) -> c_int,
    defaults_deflate: unsafe extern "C" fn(*mut DeflateExt) -> c_int,
    defaults_lz4: unsafe extern "C" fn(*mut Common) -> c_int,
    setup_deflate: unsafe extern "C" fn(*mut QzSession, *mut DeflateExt) -> c_int,
    setup_lz4: unsafe extern "C" fn(*mut QzSession, *mut Common) -> c_int,
    compress: Compress,
    decompress: Decompress,
    max_compressed_length: unsafe extern "C" fn(c_uint, *mut QzSession) -> c_uint,
    teardown: unsafe extern "C" fn(*mut QzSession) -> c_int,
    close: unsafe extern "C" fn(*mut QzSession) -> c_int,
    set_log_level: unsafe extern "C" fn(c_uint) -> c_uint,
    /// Absent in old versions.
    components: Option<unsafe extern "C" fn(*mut Component, *mut c_uint) -> c_int>,
    _library: Library,
}

/// A function of the library. `F` is its type.
fn function<F: Copy>(library: &Library, name: &CStr) -> Result<F, String> {
    // SAFETY: the callers give the types that `qatzip.h` declares.
    let symbol: std::result::Result<Symbol<F>, _> = unsafe { library.get(name.to_bytes_with_nul()) };
    symbol.map(|s| *s).map_err(why)
}

/// What the dynamic loader said.
fn why(e: libloading::Error) -> String {
    std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string)
}

impl QatZip {
    fn load(file: &OsStr) -> Result<Self, String> {
        // SAFETY: a system library or one the user named, whose constructors are trusted as its functions are.
        let library = unsafe { Library::open(Some(file), RTLD_NOW | RTLD_LOCAL) }.map_err(why)?;
        Ok(Self {
            init: function(&library, c"qzInit")?,
            defaults_deflate: function(&library, c"qzGetDefaultsDeflateExt")?,
            defaults_lz4: function(&library, c"qzGetDefaultsLZ4")?,
            setup_deflate: function(&library, c"qzSetupSessionDeflateExt")?,
            setup_lz4: function(&library, c"qzSetupSessionLZ4")?,
            compress: function(&library, c"qzCompress")?,
            decompress: function(&library, c"qzDecompress")?,
            max_compressed_length: function(&library, c"qzMaxCompressedLength")?,
            teardown: function(&library, c"qzTeardownSession")?,
            close: function(&library, c"qzClose")?,
            set_log_level: function(&library, c"qzSetLogLevel")?,
            components: function(&library, c"qzGetSoftwareComponentVersionList").ok(),
            _library: library,
        })
    }

    /// Starts the device, once in the life of the process.
    fn start(&self) -> Result<(), Unavailable> {
        static ANSWER: OnceLock<c_int> = OnceLock::new();
        let answer = *ANSWER.get_or_init(|| {
            // SAFETY: takes a number.
            unsafe { (self.set_log_level)(LOG_NONE) };
            // SAFETY: the session is whole, and 0 forbids software.
            unsafe { (self.init)(&mut QzSession::new(), 0) }
        });
        if answer == QZ_OK {
            return Ok(());
        }
        let reason = format!("{}; qzInit answered {answer}", meaning(answer));
        Err(Unavailable { reason, remedy: REMEDY.into() })
    }

    /// Names and versions of the library's parts.
    fn identity(&self) -> String {
        let nothing = Component {
            component_type: 0,
            component_name: [0; 64],
            major_version: 0,
            minor_version: 0,
            patch_version: 0,
            build_number: 0,
            reserved: [0; 52],
        };
        let mut list = vec![nothing; MOST_COMPONENTS];
        let mut count = MOST_COMPONENTS as c_uint;
        let answer = self.components.map(|components| {
            // SAFETY: the list has room for `count` components, and is told so.
            unsafe { components(list.as_mut_ptr(), &raw mut count) }
        });
        if answer != Some(QZ_OK) {
            return "QATzip".into();
        }
        let named = list.iter().take(count as usize).filter(|c| c.component_name[0] != 0);
        let texts: Vec<String> = named.map(Component::text).collect();
        if texts.is_empty() { "QATzip".into() } else { texts.join(", ") }
    }
}

impl Component {
    fn text(&self) -> String {
        let name = self.component_name.split(|b| *b == 0).next().unwrap_or_default();
        let name: String = String::from_utf8_lossy(name).chars().filter(|c| !c.is_control()).collect();
        format!("{name} {}.{}.{}", self.major_version, self.minor_version, self.patch_version)
    }
}

unsafe extern "C" {
    fn secure_getenv(name: *const c_char) -> *const c_char;
}

/// What the variable says, unless this program runs with raised privileges.
fn path_variable() -> Option<OsString> {
    // SAFETY: the name ends with a zero.
    let value = unsafe { secure_getenv(PATH_VARIABLE.as_ptr()) };
    if value.is_null() {
        return None;
    }
    // SAFETY: the environment's values end with a zero; the plugin changes none, and hosts must not from other threads.
    let value = unsafe { CStr::from_ptr(value) };
    Some(OsStr::from_bytes(value.to_bytes()).to_owned()).filter(|v| !v.is_empty())
}

/// The library with a device, loaded and started at the first call that finds it.
fn qatzip() -> Result<&'static QatZip, Unavailable> {
    static LOADED: OnceLock<QatZip> = OnceLock::new();
    let found = match LOADED.get() {
        Some(found) => found,
        None => {
            let file = path_variable().unwrap_or_else(|| SONAME.into());
            let loaded =
                QatZip::load(&file).map_err(|reason| Unavailable { reason, remedy: REMEDY.into() })?;
            LOADED.get_or_init(|| loaded)
        }
    };
    found.start().map(|()| found)
}

/// What QATzip's answers mean.
fn meaning(answer: c_int) -> &'static str {
    match answer {
        QZ_PARAMS => "a parameter is not accepted",
        QZ_BUF_ERROR => "a buffer is too small",
        QZ_DATA_ERROR => "the data is damaged",
        QZ_INTEG => "the integrity check failed",
        QZ_DUPLICATE | QZ_NOSW_NO_HW => "no QuickAssist device was found",
        QZ_NOSW_NO_MDRV => "the memory driver of QuickAssist is missing",
        QZ_NOSW_NO_INST_ATTACH => "no instance of the QuickAssist device can be had",
        QZ_NOSW_LOW_MEM => "there is not enough pinned memory",
        QZ_NOSW_UNSUPPORTED_FMT | QZ_NOT_SUPPORTED => "the device does not support it",
        1.. => "there is only software",
        _ => "the device failed",
    }
}

fn error(call: &str, answer: c_int) -> Error {
    let kind = match answer {
        QZ_BUF_ERROR => ErrorKind::DestinationTooSmall,
        QZ_DATA_ERROR => ErrorKind::Corrupt,
        QZ_NOSW_LOW_MEM => ErrorKind::OutOfMemory,
        QZ_NOSW_UNSUPPORTED_FMT | QZ_NOT_SUPPORTED => ErrorKind::Unsupported,
        QZ_PARAMS | QZ_INTEG => ErrorKind::Internal,
        _ => ErrorKind::DeviceLost,
    };
    Error::new(kind, format!("{}; {call} answered {answer}", meaning(answer)))
}

impl QzSession {
    fn new() -> Self {
        Self { hw_session_stat: 0, thd_sess_stat: 0, internal: ptr::null_mut(), total_in: 0, total_out: 0 }
    }
}

/// What a session writes and reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    /// Gzip members with an extra field that tells their sizes.
    GzipExt,
    /// LZ4 frames.
    Lz4,
}

/// A session on the device.
pub(crate) struct Session {
    qatzip: &'static QatZip,
    /// In a cell, since asking it for a bound takes a pointer that may be written through.
    session: Box<UnsafeCell<QzSession>>,
    /// Bytes of content the device takes at once: each piece of that size becomes a frame.
    piece_bytes: usize,
}

// SAFETY: QATzip's sessions are for one thread at a time, which may be any: instances are grabbed anew for each call.
unsafe impl Send for Session {}

impl Session {
    /// Most bytes of source or destination in one call.
    pub(crate) const MOST_BYTES: usize = 1 << 30;

    /// Whether there is a device that can do `format`, and what it is.
    pub(crate) fn probe(format: Format) -> Result<String, Unavailable> {
        let qatzip = qatzip()?;
        // Some devices have no LZ4, which only a request tells.
        let tried = Self::open(format, 1).and_then(|mut session| {
            let src = [0; 4096];
            session.compress(&src, &mut vec![0; session.compress_bound(src.len())])
        });
        tried.map_err(|e| Unavailable { reason: e.to_string(), remedy: REMEDY.into() })?;
        Ok(qatzip.identity())
    }

    pub(crate) fn open(format: Format, level: u32) -> Result<Self> {
        let qatzip = qatzip().map_err(|missing| Error::new(ErrorKind::DeviceLost, missing.reason))?;
        let session = Box::new(UnsafeCell::new(QzSession::new()));
        let mut opened = Self { qatzip, session, piece_bytes: 0 };
        match format {
            Format::GzipExt => opened.setup_deflate(level)?,
            Format::Lz4 => opened.setup_lz4(level)?,
        }
        // After a setup that failed, or that leads to software, `qzCompress` would succeed all the same.
        let state = opened.session.get_mut().hw_session_stat;
        match c_int::try_from(state) {
            Ok(QZ_OK) => Ok(opened),
            Ok(state) => Err(error("the session's state after the setup", state)),
            Err(_) => Err(Error::new(ErrorKind::DeviceLost, format!("the session's state is {state}"))),
        }
    }

    fn setup_deflate(&mut self, level: u32) -> Result<()> {
        let mut params = DeflateExt::default();
        // SAFETY: the structure is whole.
        done("qzGetDefaultsDeflateExt", unsafe { (self.qatzip.defaults_deflate)(&raw mut params) })?;
        params.deflate_params.data_fmt = QZ_DEFLATE_GZIP_EXT;
        (params.stop_decompression_stream_end, params.zlib_format) = (0, 0);
        self.piece_bytes = on_the_device(&mut params.deflate_params.common_params, level);
        // SAFETY: session and structure are whole, and the latter is copied.
        let answer = unsafe { (self.qatzip.setup_deflate)(self.session.get(), &raw mut params) };
        done("qzSetupSessionDeflateExt", answer)
    }

    fn setup_lz4(&mut self, level: u32) -> Result<()> {
        let mut params = Common::default();
        // SAFETY: the structure is whole.
        done("qzGetDefaultsLZ4", unsafe { (self.qatzip.defaults_lz4)(&raw mut params) })?;
        self.piece_bytes = on_the_device(&mut params, level);
        // SAFETY: session and structure are whole, and the latter is copied.
        let answer = unsafe { (self.qatzip.setup_lz4)(self.session.get(), &raw mut params) };
        done("qzSetupSessionLZ4", answer)
    }

    /// Content of the largest frame that the device decodes, in bytes.
    pub(crate) fn largest_frame_bytes(&self) -> usize {
        self.piece_bytes
    }

    /// Largest size of what [`compress`](Self::compress) writes for `len` bytes, and of a frame of fewer, made elsewhere.
    pub(crate) fn compress_bound(&self, len: usize) -> usize {
        const FRAME_BYTES: usize = 64;
        let own = len + len / 8 + FRAME_BYTES * (1 + len.div_ceil(self.piece_bytes.max(4096)));
        let asked = c_uint::try_from(len).map_or(0, |len| {
            // SAFETY: a session that was set up; nothing else uses it now, since the instance is at one thread.
            unsafe { (self.qatzip.max_compressed_length)(len, self.session.get()) }
        });
        own.max(asked as usize)
    }

    /// Writes `src` as frames into `dst`; the bytes written.
    pub(crate) fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        let (mut read, mut written) = (length(src)?, dst.len().min(Self::MOST_BYTES * 2) as c_uint);
        let room = written;
        // SAFETY: a session that was set up; source and destination have the lengths given and outlive the call.
        let answer = unsafe {
            (self.qatzip.compress)(
                self.session.get(),
                src.as_ptr(),
                &raw mut read,
                dst.as_mut_ptr(),
                &raw mut written,
                1,
            )
        };
        done("qzCompress", answer)?;
        if read as usize != src.len() {
            return Err(ErrorKind::DestinationTooSmall.into());
        }
        if written > room {
            Err(Error::internal("qzCompress claims more than there was room for"))
        } else {
            Ok(written as usize)
        }
    }

    /// Decodes the frames of `src`, all of them made as by [`compress`](Self::compress), into exactly `dst`.
    pub(crate) fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<()> {
        let (mut read, mut written) = (length(src)?, length(dst)?);
        // SAFETY: a session that was set up; source and destination have the lengths given and outlive the call.
        let answer = unsafe {
            (self.qatzip.decompress)(
                self.session.get(),
                src.as_ptr(),
                &raw mut read,
                dst.as_mut_ptr(),
                &raw mut written,
            )
        };
        done("qzDecompress", answer)?;
        // Success with less than everything is what QATzip answers to truncated input, and to a small destination.
        if (read as usize, written as usize) == (src.len(), dst.len()) {
            return Ok(());
        }
        let what =
            format!("qzDecompress read {read} of {} bytes and wrote {written} of {}", src.len(), dst.len());
        Err(Error::corrupt(what))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: the session was initialised; teardown takes one without a setup too.
        unsafe { (self.qatzip.teardown)(self.session.get()) };
        // SAFETY: the session was torn down, and is not used again.
        unsafe { (self.qatzip.close)(self.session.get()) };
    }
}

/// Sets what all sessions have in common: no software. Answers the size of a piece.
fn on_the_device(params: &mut Common, level: u32) -> usize {
    (params.direction, params.comp_lvl, params.sw_backup) = (QZ_DIR_BOTH, level, 0);
    params.hw_buff_sz as usize
}

fn done(call: &str, answer: c_int) -> Result<()> {
    if answer == QZ_OK { Ok(()) } else { Err(error(call, answer)) }
}

fn length(buffer: &[u8]) -> Result<c_uint> {
    let fits = c_uint::try_from(buffer.len()).ok().filter(|_| buffer.len() <= Session::MOST_BYTES);
    fits.ok_or_else(|| Error::new(ErrorKind::Unsupported, "more bytes than one call takes"))
}
