//! nvCOMP 6, the low-level batched C interface, opened at run time. Declarations are our own, after its documentation.
//!
//! Version 5 has other signatures under the same names, so the major version is checked before anything is called.

#![expect(unsafe_code, reason = "functions of a C library that is loaded at run time")]

use crate::{device::Lane, search};
use clipsmaster_plugin_api::{Error, ErrorKind, Result};
use libloading::Library;
use std::{
    ffi::{CStr, c_char, c_void},
    path::{Path, PathBuf},
    sync::Mutex,
};

/// The major version whose signatures are declared here.
pub(crate) const MAJOR: u32 = 6;

/// Alignment of every piece on the device: a multiple of what any of the functions asks for.
pub(crate) const ALIGNMENT: usize = 64;

/// `nvcompBatched*Opts_t`: 64 bytes, passed by value, the unused ones zero.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opts([i32; 16]);

impl Opts {
    /// Options whose first field has this value.
    pub(crate) const fn first(value: i32) -> Self {
        let mut fields = [0; 16];
        fields[0] = value;
        Self(fields)
    }

    /// For decompression: on the multiprocessors (`NVCOMP_DECOMPRESS_BACKEND_CUDA`), since the decompression engine reports no status.
    pub(crate) const DECOMPRESS: Self = Self::first(2);
}

/// `nvcompAlignmentRequirements_t`.
#[repr(C)]
#[derive(Default)]
struct Alignments {
    input: usize,
    output: usize,
    scratch: usize,
}

/// `nvcompProperties_t`.
#[repr(C)]
#[derive(Default)]
struct Properties {
    version: u32,
    cudart_version: u32,
}

type Status = i32;
type GetAlignments = unsafe extern "C" fn(Opts, *mut Alignments) -> Status;
type GetTempSize = unsafe extern "C" fn(usize, usize, Opts, *mut usize, usize, *mut c_void) -> Status;
type GetMaxOutput = unsafe extern "C" fn(usize, Opts, *mut usize) -> Status;
type CompressAsync = unsafe extern "C" fn(
    *const *const c_void,
    *const usize,
    usize,
    usize,
    *mut c_void,
    usize,
    *const *mut c_void,
    *mut usize,
    Opts,
    *mut Status,
    *mut c_void,
) -> Status;
type DecompressAsync = unsafe extern "C" fn(
    *const *const c_void,
    *const usize,
    *const usize,
    *mut usize,
    usize,
    *mut c_void,
    usize,
    *const *mut c_void,
    Opts,
    *mut Status,
    *mut c_void,
) -> Status;

/// The opened library.
#[derive(Debug)]
pub(crate) struct Nvcomp {
    library: Library,
    version: u32,
}

/// Why there is no nvCOMP.
#[derive(Debug)]
pub(crate) enum Missing {
    /// Nowhere, or not to be opened: what the loader said.
    Library(String),
    /// Another major version: path and version.
    Major(PathBuf, u32),
}

impl From<Missing> for Error {
    fn from(missing: Missing) -> Self {
        Self::new(ErrorKind::DeviceLost, missing.to_string())
    }
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Library(why) => write!(f, "nvCOMP {MAJOR} is not found: {why}"),
            Self::Major(path, version) => {
                let (path, version) = (path.display(), version_text(*version));
                write!(f, "{path} is nvCOMP {version}, and this plugin needs {MAJOR}.x")
            }
        }
    }
}

/// `6012` is 6.0.12 (`MAKE_SEMANTIC_VERSION`).
fn version_text(version: u32) -> String {
    format!("{}.{}.{}", version / 1000, version % 1000 / 100, version % 100)
}

impl Nvcomp {
    /// The library, opened once and kept; another attempt is made as long as there is none.
    pub(crate) fn get() -> Result<&'static Self, Missing> {
        static OPEN: Mutex<Option<&'static Nvcomp>> = Mutex::new(None);
        let mut open = OPEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(nvcomp) = *open {
            return Ok(nvcomp);
        }
        let nvcomp: &'static Self = Box::leak(Box::new(Self::search()?));
        *open = Some(nvcomp);
        Ok(nvcomp)
    }

    fn search() -> Result<Self, Missing> {
        let mut wrong = None;
        for path in search::candidates() {
            match Self::open(&path) {
                Ok(nvcomp) => return Ok(nvcomp),
                // What was found counts more than where it was not.
                Err(why @ Missing::Major(..)) => wrong = Some(why),
                Err(why) => wrong = wrong.or(Some(why)),
            }
        }
        Err(wrong.unwrap_or_else(|| Missing::Library("no place to look for it".into())))
    }

    fn open(path: &Path) -> Result<Self, Missing> {
        // SAFETY: its constructors run, as those of any library that the user installs to be used.
        let library = unsafe { Library::new(path) }.map_err(|e| Missing::Library(loader_text(&e)))?;
        let mut nvcomp = Self { library, version: 0 };
        let get_properties: unsafe extern "C" fn(*mut Properties) -> Status =
            nvcomp.function("nvcompGetProperties").map_err(|e| Missing::Library(e.message))?;
        let mut properties = Properties::default();
        // SAFETY: all versions fill this struct.
        unsafe { get_properties(&raw mut properties) };
        if properties.version / 1000 != MAJOR {
            return Err(Missing::Major(path.to_owned(), properties.version));
        }
        nvcomp.version = properties.version;
        Ok(nvcomp)
    }

    /// Its version, e.g. `6.0.0`.
    pub(crate) fn version(&self) -> String {
        version_text(self.version)
    }

    fn function<F: Copy>(&self, name: &str) -> Result<F> {
        // SAFETY: every type used here is that of the function in version 6; the library is never closed.
        let symbol = unsafe { self.library.get::<F>(name.as_bytes()) };
        symbol.map(|f| *f).map_err(|e| Error::internal(format!("nvCOMP lacks {name}: {e}")))
    }

    fn check(&self, status: Status, what: &str) -> Result<()> {
        let kind = match status {
            0 => return Ok(()),
            11 | 18 | 21 => ErrorKind::Unsupported,
            12 | 13 | 20 => ErrorKind::Corrupt,
            1000 => ErrorKind::DeviceLost,
            _ => ErrorKind::Internal,
        };
        Err(Error::new(kind, format!("nvcomp: {what}: {} ({status})", self.status_text(status))))
    }

    fn status_text(&self, status: Status) -> String {
        let Ok(describe) =
            self.function::<unsafe extern "C" fn(Status) -> *const c_char>("nvcompGetStatusString")
        else {
            return String::new();
        };
        // SAFETY: takes any status.
        let text = unsafe { describe(status) };
        if text.is_null() {
            return String::new();
        }
        // SAFETY: a text that ends with NUL and lives as long as the library.
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    }
}

/// The loader's own words, without the binding's.
fn loader_text(e: &libloading::Error) -> String {
    let source = std::error::Error::source(e).map(ToString::to_string);
    source.unwrap_or_else(|| e.to_string())
}

/// Where a round's table lies on the device: arrays of `pieces` elements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    pub pieces: usize,
    /// Largest piece before compression, in bytes.
    pub most_bytes: usize,
    pub input_addresses: u64,
    pub input_lens: u64,
    pub output_addresses: u64,
    /// Room for each output; for decompression.
    pub output_rooms: u64,
    pub output_lens: u64,
    pub statuses: u64,
    pub scratch: u64,
    pub scratch_bytes: usize,
}

/// One direction of one format.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Direction {
    nvcomp: &'static Nvcomp,
    opts: Opts,
    get_temp_size: GetTempSize,
    launch: Launch,
}

#[derive(Clone, Copy, Debug)]
enum Launch {
    Compress(CompressAsync),
    Decompress(DecompressAsync),
}

impl Direction {
    /// Compression to `family`, and the room, in bytes, that a piece of `most_bytes` needs for its output.
    pub(crate) fn compress(
        nvcomp: &'static Nvcomp,
        family: &str,
        opts: Opts,
        most_bytes: usize,
    ) -> Result<(Self, usize)> {
        let name = |function: &str| format!("nvcompBatched{family}Compress{function}");
        let get_max: GetMaxOutput = nvcomp.function(&name("GetMaxOutputChunkSize"))?;
        let mut room = 0;
        // SAFETY: writes one number.
        let status = unsafe { get_max(most_bytes, opts, &raw mut room) };
        nvcomp.check(status, "size of outputs")?;
        let launch = Launch::Compress(nvcomp.function(&name("Async"))?);
        Ok((Self::new(nvcomp, &name(""), opts, launch)?, room.next_multiple_of(ALIGNMENT)))
    }

    /// Decompression of `family`.
    pub(crate) fn decompress(nvcomp: &'static Nvcomp, family: &str) -> Result<Self> {
        let name = format!("nvcompBatched{family}Decompress");
        let launch = Launch::Decompress(nvcomp.function(&format!("{name}Async"))?);
        Self::new(nvcomp, &name, Opts::DECOMPRESS, launch)
    }

    fn new(nvcomp: &'static Nvcomp, name: &str, opts: Opts, launch: Launch) -> Result<Self> {
        let get_alignments: GetAlignments = nvcomp.function(&format!("{name}GetRequiredAlignments"))?;
        let mut needed = Alignments::default();
        // SAFETY: fills one struct.
        let status = unsafe { get_alignments(opts, &raw mut needed) };
        nvcomp.check(status, "alignments")?;
        let fits = |n: usize| n > 0 && ALIGNMENT.is_multiple_of(n);
        if ![needed.input, needed.output, needed.scratch].into_iter().all(fits) {
            return Err(Error::internal("nvcomp: it asks for larger alignments than this plugin keeps"));
        }
        let get_temp_size = nvcomp.function(&format!("{name}GetTempSize"))?;
        Ok(Self { nvcomp, opts, get_temp_size, launch })
    }

    /// Scratch, in bytes, for `pieces` of at most `most_bytes`, together `total_bytes`.
    pub(crate) fn scratch_bytes(
        &self,
        pieces: usize,
        most_bytes: usize,
        total_bytes: usize,
        lane: &Lane,
    ) -> Result<usize> {
        lane.enter()?;
        let mut scratch = 0;
        let (opts, stream) = (self.opts, lane.stream());
        // SAFETY: writes one number; nothing is put on the stream.
        let status =
            unsafe { (self.get_temp_size)(pieces, most_bytes, opts, &raw mut scratch, total_bytes, stream) };
        self.nvcomp.check(status, "size of its scratch")?;
        Ok(scratch)
    }

    /// Puts a round on the lane's stream.
    ///
    /// # Safety
    /// The addresses in `round`, and those in the table they lead to, are of memory on the lane's device that holds what the table
    /// says, aligned to [`ALIGNMENT`], until the lane has settled.
    pub(crate) unsafe fn launch(&self, lane: &mut Lane, round: &Round) -> Result<()> {
        let r = round;
        let (inputs, lens) = (r.input_addresses as *const *const c_void, r.input_lens as *const usize);
        let (outputs, out_lens) = (r.output_addresses as *const *mut c_void, r.output_lens as *mut usize);
        let (scratch, statuses) = (r.scratch as *mut c_void, r.statuses as *mut Status);
        let stream = lane.stream();
        lane.set_busy();
        let status = match self.launch {
            // SAFETY: what the caller guarantees is what the function asks for.
            Launch::Compress(compress) => unsafe {
                compress(
                    inputs,
                    lens,
                    r.most_bytes,
                    r.pieces,
                    scratch,
                    r.scratch_bytes,
                    outputs,
                    out_lens,
                    self.opts,
                    statuses,
                    stream,
                )
            },
            // SAFETY: as above.
            Launch::Decompress(decompress) => unsafe {
                decompress(
                    inputs,
                    lens,
                    r.output_rooms as *const usize,
                    out_lens,
                    r.pieces,
                    scratch,
                    r.scratch_bytes,
                    outputs,
                    self.opts,
                    statuses,
                    stream,
                )
            },
        };
        self.nvcomp.check(status, "starting")
    }

    /// What the status of one piece means.
    pub(crate) fn check_piece(&self, status: i32) -> Result<()> {
        self.nvcomp.check(status, "a piece")
    }
}
