//! ISA-L's `igzip_lib.h`, versions 2.29 to 2.32, as far as it is used here; everything unsafe of this plugin.
//!
//! The library does not tell its version, and its structures are the caller's, so both are checked before use: the version by the
//! file's name (`libisal.so.2.0.30` is 2.30), the structures by a round trip with filled bytes around them.

#![expect(unsafe_code, reason = "calls into a C library")]

use clipsmaster_framing::gzip::{self, Step};
use clipsmaster_plugin_api::{Error, ErrorKind, Result, Unavailable};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW, Symbol};
use std::{
    alloc::{Layout, alloc_zeroed},
    ffi::{CStr, OsStr, OsString, c_char, c_int},
    fmt, fs,
    ops::RangeInclusive,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    ptr,
    sync::OnceLock,
};

/// Most bytes of source or destination in one call. The library counts with 32 bits, and writes out of bounds near their end
/// (`fixed_size_read` before 2.32.1).
pub(crate) const MOST_AT_ONCE: usize = 1 << 30;

/// Names a file of the library instead of the system's.
const PATH_VARIABLE: &CStr = c"CLIPSMASTER_ISAL";
const SONAME: &str = "libisal.so.2";
/// Revisions of [`SONAME`] whose headers were compared with the declarations below.
const VERIFIED: RangeInclusive<u32> = 29..=32;

const IGZIP_GZIP: u16 = 1;
/// No header, and the trailer is compared.
const ISAL_GZIP_NO_HDR_VER: u32 = 6;
const ISAL_BLOCK_FINISH: u32 = 5;

const COMP_OK: c_int = 0;
const STATELESS_OVERFLOW: c_int = -1;
const ISAL_END_INPUT: c_int = 1;
const ISAL_OUT_OVERFLOW: c_int = 2;
const ISAL_INCORRECT_CHECKSUM: c_int = -6;

/// `ISAL_DEF_LVLx_DEFAULT`.
const LEVEL_BUFFER_BYTES: [usize; 4] = [0, 282_624, 331_776, 348_160];

/// `struct isal_zstream`.
#[repr(C)]
pub(crate) struct ZStream {
    pub(crate) next_in: *const u8,
    pub(crate) avail_in: u32,
    pub(crate) total_in: u32,
    pub(crate) next_out: *mut u8,
    pub(crate) avail_out: u32,
    pub(crate) total_out: u32,
    pub(crate) hufftables: *const u8,
    pub(crate) level: u32,
    pub(crate) level_buf_size: u32,
    pub(crate) level_buf: *mut u8,
    pub(crate) end_of_stream: u16,
    pub(crate) flush: u16,
    pub(crate) gzip_flag: u16,
    pub(crate) hist_bits: u16,
    pub(crate) internal_state: [u64; 10_290],
}

/// `struct inflate_state`.
#[repr(C)]
pub(crate) struct InflateState {
    pub(crate) next_out: *mut u8,
    pub(crate) avail_out: u32,
    pub(crate) total_out: u32,
    pub(crate) next_in: *const u8,
    pub(crate) read_in: u64,
    pub(crate) avail_in: u32,
    pub(crate) read_in_length: i32,
    pub(crate) lit_huff_code: [u32; 4_728],
    pub(crate) dist_huff_code: [u16; 1_104],
    pub(crate) block_state: u32,
    pub(crate) dict_length: u32,
    pub(crate) bfinal: u32,
    pub(crate) crc_flag: u32,
    pub(crate) crc: u32,
    pub(crate) hist_bits: u32,
    pub(crate) rest: [u32; 16_546],
}

/// A structure with bytes behind it that the library must not touch, aligned as its authors ask for.
#[repr(C, align(64))]
struct Guarded<T> {
    value: T,
    guard: [u8; GUARD_BYTES],
}

const GUARD_BYTES: usize = 4096;
const FILL: u8 = 0xa5;

impl<T: Structure> Guarded<T> {
    fn new() -> Result<Box<Self>> {
        // SAFETY: the layout is not empty: it has the guard.
        let memory = unsafe { alloc_zeroed(Layout::new::<Self>()) }.cast::<Self>();
        if memory.is_null() {
            return Err(ErrorKind::OutOfMemory.into());
        }
        // SAFETY: allocated with this layout, and all zeros is a value of a `Structure` and of bytes.
        Ok(unsafe { Box::from_raw(memory) })
    }

    /// Fills structure and guard.
    fn fill(&mut self) {
        // SAFETY: every pattern of bytes is a value of a `Structure` and of bytes.
        unsafe { ptr::from_mut(self).write_bytes(FILL, 1) };
    }

    fn is_guard_untouched(&self) -> bool {
        self.guard.iter().all(|b| *b == FILL)
    }
}

/// # Safety
/// Every pattern of bytes is a value of the type, as for numbers and raw pointers.
unsafe trait Structure {}
// SAFETY: numbers and raw pointers only.
unsafe impl Structure for ZStream {}
// SAFETY: numbers and raw pointers only.
unsafe impl Structure for InflateState {}

/// The functions used, and what keeps them loaded.
struct Isal {
    _library: Library,
    version: String,
    deflate_init: unsafe extern "C" fn(*mut ZStream),
    deflate: unsafe extern "C" fn(*mut ZStream) -> c_int,
    inflate_init: unsafe extern "C" fn(*mut InflateState),
    inflate: unsafe extern "C" fn(*mut InflateState) -> c_int,
    inflate_stateless: unsafe extern "C" fn(*mut InflateState) -> c_int,
}

/// The library, loaded and checked at the first call that succeeds.
fn isal() -> Result<&'static Isal, Unavailable> {
    static LOADED: OnceLock<Isal> = OnceLock::new();
    if let Some(isal) = LOADED.get() {
        return Ok(isal);
    }
    let file = path_variable().unwrap_or_else(|| SONAME.into());
    let isal = Isal::load(&file).and_then(|isal| isal.self_test().map(|()| isal)).map_err(|why| {
        let named = file.to_string_lossy();
        let reason = if why.contains(&*named) { why } else { format!("{named}: {why}") };
        let remedy = "apt-get install libisal2 (elsewhere isa-l), or CLIPSMASTER_ISAL=/path/libisal.so.2";
        Unavailable { reason, remedy: remedy.into() }
    })?;
    Ok(LOADED.get_or_init(|| isal))
}

/// Version of the library, as `isal 2.30`.
pub(crate) fn version() -> Result<String, Unavailable> {
    isal().map(|isal| isal.version.clone())
}

fn loaded() -> Result<&'static Isal> {
    isal().map_err(|missing| Error::new(ErrorKind::DeviceLost, missing.reason))
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

impl Isal {
    fn load(file: &OsStr) -> Result<Self, String> {
        // SAFETY: a system library or one the user named, whose constructors are trusted as its functions are.
        let library = unsafe { Library::open(Some(file), RTLD_NOW | RTLD_LOCAL) };
        let library = library.map_err(why)?;
        let deflate_init = function(&library, c"isal_deflate_stateless_init")?;
        let path = file_at(deflate_init as *const () as usize).ok_or("its file cannot be told")?;
        Ok(Self {
            version: verified_version(&path)?,
            deflate_init,
            deflate: function(&library, c"isal_deflate_stateless")?,
            inflate_init: function(&library, c"isal_inflate_init")?,
            inflate: function(&library, c"isal_inflate")?,
            inflate_stateless: function(&library, c"isal_inflate_stateless")?,
            _library: library,
        })
    }

    /// Whether structures have the size and fields declared: filled bytes become what the initialisers put there, content
    /// survives, and nothing behind them changes.
    fn self_test(&self) -> Result<(), String> {
        (0..LEVEL_BUFFER_BYTES.len()).try_for_each(|level| {
            let tested = self.round_trip(level as u32).map_err(|e| e.to_string())?;
            tested.map_err(|what| format!("{what}: its structures are not those of ISA-L 2.29 to 2.32"))
        })
    }

    /// What is wrong with a round trip at `level`.
    fn round_trip(&self, level: u32) -> Result<Result<(), &'static str>> {
        let content: Vec<u8> = (0..20_000_u32).map(|i| ((i / 3) ^ ((i * i) >> 7)) as u8).collect();
        let (mut stream, mut state) = (Guarded::<ZStream>::new()?, Guarded::<InflateState>::new()?);
        stream.fill();
        state.fill();
        let mut buffer = vec![0; LEVEL_BUFFER_BYTES[level as usize]];
        let mut member = vec![0; 2 * content.len()];
        let len = self.deflate(&mut stream.value, level, &mut buffer, &content, &mut member)?;
        self.inflate_init(&mut state.value);
        let s = &state.value;
        if [s.block_state, s.bfinal, s.crc_flag, s.crc, s.hist_bits, s.avail_in] != [0; 6] {
            return Ok(Err("fields are left unset"));
        }
        let Some(deflated) = member.get(GZIP_HEADER_BYTES..len) else { return Ok(Err("a short member")) };
        let mut decoded = vec![0; content.len()];
        let ends = self.inflate_whole(&mut state.value, deflated, &mut decoded)?;
        if ends != (deflated.len(), content.len()) || decoded != content {
            return Ok(Err("other bytes came back"));
        }
        if !stream.is_guard_untouched() || !state.is_guard_untouched() {
            return Ok(Err("bytes behind a structure were changed"));
        }
        Ok(Ok(()))
    }

    /// Writes one member; the bytes written.
    fn deflate(
        &self,
        stream: &mut ZStream,
        level: u32,
        buffer: &mut [u8],
        src: &[u8],
        dst: &mut [u8],
    ) -> Result<usize> {
        if src.len() > MOST_AT_ONCE {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("more than {MOST_AT_ONCE} bytes at once"),
            ));
        }
        // SAFETY: the structure is whole, and has the library's layout.
        unsafe { (self.deflate_init)(stream) };
        stream.level = level;
        (stream.level_buf, stream.level_buf_size) = (buffer.as_mut_ptr(), length(buffer));
        (stream.gzip_flag, stream.hist_bits) = (IGZIP_GZIP, 0);
        (stream.next_in, stream.avail_in) = (src.as_ptr(), length(src));
        (stream.next_out, stream.avail_out) = (dst.as_mut_ptr(), length(dst));
        // SAFETY: initialised above; the three buffers have the lengths given and outlive the call, and the library keeps
        // within them.
        match unsafe { (self.deflate)(stream) } {
            COMP_OK if stream.avail_in == 0 => Ok(stream.total_out as usize),
            COMP_OK | STATELESS_OVERFLOW => Err(ErrorKind::DestinationTooSmall.into()),
            status => Err(Error::internal(format!("isal_deflate_stateless answered {status}"))),
        }
    }

    fn inflate_init(&self, state: &mut InflateState) {
        // SAFETY: the structure is whole, and has the library's layout.
        unsafe { (self.inflate_init)(state) };
    }

    /// Decodes the deflate data and trailer that `src` begins with: bytes read and written.
    fn inflate_whole(&self, state: &mut InflateState, src: &[u8], dst: &mut [u8]) -> Result<(usize, usize)> {
        self.inflate_init(state);
        state.crc_flag = ISAL_GZIP_NO_HDR_VER;
        let before = lend(state, src, dst);
        // SAFETY: initialised above; source and destination have the lengths given and outlive the call, and the library
        // keeps within them whatever the source holds.
        match unsafe { (self.inflate_stateless)(state) } {
            0 => Ok(before.moved(state)),
            ISAL_END_INPUT => Err(gzip::truncated()),
            ISAL_OUT_OVERFLOW => Err(ErrorKind::DestinationTooSmall.into()),
            status => Err(corrupt(status)),
        }
    }
}

const GZIP_HEADER_BYTES: usize = 10;

/// A function of the library. `F` is its type.
fn function<F: Copy>(library: &Library, name: &CStr) -> Result<F, String> {
    // SAFETY: the callers give the types that `igzip_lib.h` declares, which a verified version has.
    let symbol: std::result::Result<Symbol<F>, _> = unsafe { library.get(name.to_bytes_with_nul()) };
    symbol.map(|s| *s).map_err(why)
}

/// What the dynamic loader said.
fn why(e: libloading::Error) -> String {
    std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string)
}

/// The file mapped at an address (proc(5), `/proc/pid/maps`), its symbolic links followed.
fn file_at(address: usize) -> Option<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let path = maps.lines().find_map(|line| {
        let mut fields = line.split_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let bound = |text| usize::from_str_radix(text, 16).ok();
        let holds = (bound(start)?..bound(end)?).contains(&address);
        let at = line.find('/').filter(|_| holds)?;
        Some(&line[at..])
    });
    path.map(PathBuf::from)
}

/// The version of ISA-L in a file, if its structures are known.
fn verified_version(path: &Path) -> Result<String, String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let revision = name.strip_prefix(SONAME).and_then(|rest| rest.strip_prefix(".0.")?.parse::<u32>().ok());
    match revision {
        Some(revision) if VERIFIED.contains(&revision) => Ok(format!("isal 2.{revision}")),
        _ => Err(format!("{} is none of the verified versions, {SONAME}.0.29 to .32", path.display())),
    }
}

/// The length of a buffer, or as much of it as the library may be told.
fn length(buffer: &[u8]) -> u32 {
    buffer.len().min(MOST_AT_ONCE) as u32
}

/// Lends source and destination to the library.
fn lend(state: &mut InflateState, src: &[u8], dst: &mut [u8]) -> Lent {
    (state.next_in, state.avail_in) = (src.as_ptr(), length(src));
    (state.next_out, state.avail_out) = (dst.as_mut_ptr(), length(dst));
    Lent { src_bytes: state.avail_in, dst_bytes: state.avail_out }
}

/// How much was lent.
struct Lent {
    src_bytes: u32,
    dst_bytes: u32,
}

impl Lent {
    /// Bytes read and written since.
    fn moved(&self, state: &InflateState) -> (usize, usize) {
        ((self.src_bytes - state.avail_in) as usize, (self.dst_bytes - state.avail_out) as usize)
    }
}

fn corrupt(status: c_int) -> Error {
    match status {
        ISAL_INCORRECT_CHECKSUM => Error::corrupt("gzip checksum or length differs"),
        -1 => Error::corrupt("invalid deflate block"),
        -2 => Error::corrupt("invalid deflate symbol"),
        -3 => Error::corrupt("invalid deflate distance"),
        _ => Error::corrupt(format!("isal_inflate answered {status}")),
    }
}

/// Writes members at one level.
pub(crate) struct Deflate {
    isal: &'static Isal,
    level: u32,
    stream: Box<Guarded<ZStream>>,
    level_buffer: Vec<u8>,
}

// SAFETY: the raw pointers in the structure are used within calls only, which hold the instance.
unsafe impl Send for Deflate {}

impl Deflate {
    pub(crate) fn new(level: u32) -> Result<Self> {
        let bytes = LEVEL_BUFFER_BYTES.get(level as usize);
        let bytes = *bytes.ok_or_else(|| Error::new(ErrorKind::Unsupported, "no such level"))?;
        Ok(Self { isal: loaded()?, level, stream: Guarded::new()?, level_buffer: vec![0; bytes] })
    }

    /// Writes `src` as one member into `dst`; the bytes written.
    pub(crate) fn member(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        self.isal.deflate(&mut self.stream.value, self.level, &mut self.level_buffer, src, dst)
    }
}

/// Decodes deflate data and trailers.
pub(crate) struct Inflate {
    isal: &'static Isal,
    state: Box<Guarded<InflateState>>,
}

// SAFETY: the raw pointers in the structure are used within calls only, which hold the instance.
unsafe impl Send for Inflate {}

impl fmt::Debug for Inflate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflate").finish_non_exhaustive()
    }
}

impl Inflate {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { isal: loaded()?, state: Guarded::new()? })
    }

    /// Decodes the deflate data and trailer that `src` begins with: bytes read and written. Both buffers hold at most
    /// [`MOST_AT_ONCE`] bytes.
    pub(crate) fn whole(&mut self, src: &[u8], dst: &mut [u8]) -> Result<(usize, usize)> {
        self.isal.inflate_whole(&mut self.state.value, src, dst)
    }
}

impl gzip::Inflate for Inflate {
    fn begin(&mut self) {
        self.isal.inflate_init(&mut self.state.value);
        self.state.value.crc_flag = ISAL_GZIP_NO_HDR_VER;
    }

    fn inflate(&mut self, src: &[u8], dst: &mut [u8]) -> Result<Step> {
        let state = &mut self.state.value;
        let before = lend(state, src, dst);
        // SAFETY: initialised by `begin`, or zeros, which is the same; source and destination have the lengths given and outlive
        // the call, and the library keeps within them whatever the source holds.
        let status = unsafe { (self.isal.inflate)(state) };
        if status != 0 {
            return Err(corrupt(status));
        }
        let (read, written) = before.moved(state);
        Ok(Step { read, written, ended: state.block_state == ISAL_BLOCK_FINISH })
    }
}

/// Memory of an instance, in bytes.
pub(crate) fn scratch_bytes(level: u32) -> u64 {
    let level_buffer = LEVEL_BUFFER_BYTES.get(level as usize).copied().unwrap_or_default();
    (size_of::<Guarded<ZStream>>() + size_of::<Guarded<InflateState>>() + level_buffer) as u64
}

/// Constants by the header's names, for the test that compares them.
#[cfg(test)]
pub(crate) fn constants() -> Vec<(&'static str, usize)> {
    vec![
        ("IGZIP_GZIP", IGZIP_GZIP.into()),
        ("ISAL_GZIP_NO_HDR_VER", ISAL_GZIP_NO_HDR_VER as usize),
        ("ISAL_BLOCK_FINISH", ISAL_BLOCK_FINISH as usize),
        ("COMP_OK", COMP_OK as usize),
        ("-STATELESS_OVERFLOW", STATELESS_OVERFLOW.unsigned_abs() as usize),
        ("ISAL_END_INPUT", ISAL_END_INPUT as usize),
        ("ISAL_OUT_OVERFLOW", ISAL_OUT_OVERFLOW as usize),
        ("-ISAL_INCORRECT_CHECKSUM", ISAL_INCORRECT_CHECKSUM.unsigned_abs() as usize),
        ("ISAL_DEF_LVL0_DEFAULT", LEVEL_BUFFER_BYTES[0]),
        ("ISAL_DEF_LVL1_DEFAULT", LEVEL_BUFFER_BYTES[1]),
        ("ISAL_DEF_LVL2_DEFAULT", LEVEL_BUFFER_BYTES[2]),
        ("ISAL_DEF_LVL3_DEFAULT", LEVEL_BUFFER_BYTES[3]),
    ]
}
