//! The CUDA driver: devices, and the [`Lane`]s on which one instance works.
//!
//! cudarc loads the driver's library at run time and panics where there is none, so [`Device::open`] looks first. All that follows
//! answers errors.

#![expect(unsafe_code, reason = "calls of the CUDA driver; every block states what it relies on")]

use clipsmaster_plugin_api::{Error, ErrorKind, Result};
use cudarc::driver::{
    DriverError,
    result::{self, stream::StreamKind},
    sys::{self, CUresult},
};
use std::{ffi::c_void, slice, sync::Mutex};

/// What this plugin calls; a driver that lacks one is too old.
const SYMBOLS: &[&str] = &[
    "cuCtxSetCurrent",
    "cuDeviceGet",
    "cuDeviceGetCount",
    "cuDeviceGetName",
    "cuDevicePrimaryCtxRetain",
    "cuDriverGetVersion",
    "cuGetErrorString",
    "cuInit",
    "cuMemAlloc_v2",
    "cuMemFreeHost",
    "cuMemFree_v2",
    "cuMemGetInfo_v2",
    "cuMemHostAlloc",
    "cuMemcpy2DAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuMemcpyHtoDAsync_v2",
    "cuStreamCreate",
    "cuStreamDestroy_v2",
    "cuStreamSynchronize",
];

/// Why there is no device to work with.
#[derive(Debug)]
pub(crate) enum Missing {
    /// No libcuda.
    Driver,
    /// A libcuda without this function.
    Symbol(&'static str),
    /// The driver is there and finds nothing.
    NoDevice,
    /// Fewer devices than the index asks for.
    Index(i32),
    /// Another error of the driver.
    Failed(Error),
}

impl From<Missing> for Error {
    fn from(missing: Missing) -> Self {
        let text = match missing {
            Missing::Failed(e) => return e,
            Missing::Driver => "no NVIDIA driver: libcuda.so.1 is not found".into(),
            Missing::Symbol(name) => format!("the NVIDIA driver is too old: it lacks {name}"),
            Missing::NoDevice => "the NVIDIA driver finds no device".into(),
            Missing::Index(count) => format!("no such device: there are {count}"),
        };
        Self::new(ErrorKind::DeviceLost, text)
    }
}

/// A device with its primary context, which stays for the life of the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Device {
    device: sys::CUdevice,
    context: sys::CUcontext,
}

// SAFETY: a context handle may be made current on any thread, on several at once (CUDA driver API, context management).
unsafe impl Send for Device {}

impl Device {
    /// The device of that index, opened once.
    pub(crate) fn open(index: i32) -> Result<Self, Missing> {
        static OPEN: Mutex<Vec<(i32, Device)>> = Mutex::new(Vec::new());
        let mut open = OPEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, device)) = open.iter().find(|(i, _)| *i == index) {
            return Ok(*device);
        }
        let device = Self::start(index)?;
        open.push((index, device));
        Ok(device)
    }

    fn start(index: i32) -> Result<Self, Missing> {
        check_library()?;
        match result::init() {
            Err(DriverError(CUresult::CUDA_ERROR_NO_DEVICE)) => return Err(Missing::NoDevice),
            answer => answer.map_err(failed("cuInit"))?,
        }
        let count = result::device::get_count().map_err(failed("counting devices"))?;
        if count == 0 {
            return Err(Missing::NoDevice);
        }
        if index >= count {
            return Err(Missing::Index(count));
        }
        let device = result::device::get(index).map_err(failed("opening the device"))?;
        // SAFETY: `device` comes from the driver.
        let context = unsafe { result::primary_ctx::retain(device) };
        Ok(Self { device, context: context.map_err(failed("opening the device"))? })
    }

    /// The device's name.
    pub(crate) fn name(&self) -> Result<String> {
        result::device::get_name(self.device).map_err(error("asking for its name"))
    }

    /// Free and total memory, in bytes.
    pub(crate) fn memory(&self) -> Result<(usize, usize)> {
        self.enter()?;
        result::mem_get_info().map_err(error("asking for its memory"))
    }

    /// Makes the context current on this thread.
    fn enter(&self) -> Result<()> {
        // SAFETY: the context is never released.
        let entered = unsafe { result::ctx::set_current(self.context) };
        entered.map_err(error("entering its context"))
    }
}

/// Latest CUDA version of the driver, as `major.minor`.
pub(crate) fn driver_version() -> Result<String> {
    let mut version = 0;
    // SAFETY: the number lives on this stack; the library was checked when the device was opened.
    let answer = unsafe { sys::cuDriverGetVersion(&raw mut version) };
    answer.result().map_err(error("asking for the driver's version"))?;
    Ok(format!("{}.{}", version / 1000, version % 1000 / 10))
}

fn check_library() -> Result<(), Missing> {
    // SAFETY: loading libcuda runs its constructors, which is what using a GPU takes.
    if !unsafe { sys::is_culib_present() } {
        return Err(Missing::Driver);
    }
    // SAFETY: as above; it is present, so this does not panic.
    let library = unsafe { sys::culib() };
    let lacks = |name: &&&str| {
        // SAFETY: the symbol is looked up, not called.
        unsafe { library.get::<unsafe extern "C" fn()>(name.as_bytes()) }.is_err()
    };
    SYMBOLS.iter().find(lacks).map_or(Ok(()), |name| Err(Missing::Symbol(name)))
}

fn failed(what: &str) -> impl FnOnce(DriverError) -> Missing {
    let to_error = error(what);
    move |e| Missing::Failed(to_error(e))
}

/// A driver's error as one of the interface: all that is not our own mistake means that the device cannot be used any more.
fn error(what: &str) -> impl FnOnce(DriverError) -> Error + use<> {
    let what = what.to_owned();
    move |e| {
        let kind = match e.0 {
            CUresult::CUDA_ERROR_OUT_OF_MEMORY => ErrorKind::OutOfMemory,
            CUresult::CUDA_ERROR_INVALID_VALUE | CUresult::CUDA_ERROR_NOT_SUPPORTED => ErrorKind::Internal,
            _ => ErrorKind::DeviceLost,
        };
        let text = e.error_string().map(|text| text.to_string_lossy().into_owned()).unwrap_or_default();
        Error::new(kind, format!("cuda: {what}: {text} ({})", e.0 as u32))
    }
}

/// The buffers of a lane.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Buffer {
    /// Pieces on their way to the device.
    Input,
    /// Pieces on their way back.
    Output,
    /// Addresses, sizes and statuses of the pieces.
    Table,
}

/// A stream, and buffers on both sides of it, which grow and are kept.
///
/// Copies are asynchronous: whoever looks at the host's side waits for them first.
pub(crate) struct Lane {
    device: Device,
    stream: sys::CUstream,
    pinned: bool,
    busy: bool,
    pairs: [Pair; 3],
    scratch: Memory,
}

// SAFETY: stream and memory belong to the context, not to a thread; every call enters the context first.
unsafe impl Send for Lane {}

#[derive(Default)]
struct Pair {
    host: Staging,
    memory: Memory,
}

impl Lane {
    /// A lane on `device`; `pinned` says whether the host's side is memory that the device reads by itself.
    pub(crate) fn new(device: Device, pinned: bool) -> Result<Self> {
        device.enter()?;
        let stream = result::stream::create(StreamKind::NonBlocking).map_err(error("creating a stream"))?;
        Ok(Self {
            device,
            stream,
            pinned,
            busy: false,
            pairs: Default::default(),
            scratch: Memory::default(),
        })
    }

    /// Another one on the same device.
    pub(crate) fn another(&self) -> Result<Self> {
        Self::new(self.device, self.pinned)
    }

    /// To be called before others from each thread.
    pub(crate) fn enter(&self) -> Result<()> {
        self.device.enter()
    }

    /// The stream's handle.
    pub(crate) fn stream(&self) -> *mut c_void {
        self.stream.cast()
    }

    /// Makes both sides of every buffer at least as long as `lens` says, in the order of [`Buffer`], and the
    /// scratch `scratch_bytes`; together they take at most `most_bytes` of the device, in which all of this
    /// fits. What was in them may be lost.
    pub(crate) fn reserve(
        &mut self,
        lens: [usize; 3],
        scratch_bytes: usize,
        most_bytes: usize,
    ) -> Result<()> {
        self.settle()?;
        let grown = |lane: &Self, lens: [usize; 3]| {
            let pairs = lane.pairs.iter().zip(lens).map(|(pair, len)| pair.memory.len.max(len));
            pairs.sum::<usize>() + lane.scratch.len.max(scratch_bytes)
        };
        if grown(self, lens) > most_bytes {
            self.pairs.iter_mut().for_each(|pair| pair.memory = Memory::default());
            self.scratch = Memory::default();
        }
        // Rounds differ a little in length: new memory each time would stop the other lanes too.
        let roomy = lens.map(|len| len + len / 8);
        let targets = if grown(self, roomy) <= most_bytes { roomy } else { lens };
        for ((pair, len), target) in self.pairs.iter_mut().zip(lens).zip(targets) {
            if pair.memory.len < len {
                pair.memory.grow(target)?;
            }
            if pair.host.as_bytes().len() < len {
                pair.host.grow(target, self.pinned)?;
            }
        }
        self.scratch.grow(scratch_bytes)
    }

    /// Address of the scratch on the device.
    pub(crate) fn scratch(&self) -> u64 {
        self.scratch.address
    }

    /// Address of `buffer` on the device.
    pub(crate) fn address(&self, buffer: Buffer) -> u64 {
        self.pairs[buffer as usize].memory.address
    }

    /// The host's side of `buffer`, after what is under way.
    pub(crate) fn host(&mut self, buffer: Buffer) -> Result<&mut [u8]> {
        self.settle()?;
        Ok(self.pairs[buffer as usize].host.bytes())
    }

    /// The host's side of `buffer` to read, when nothing is under way.
    pub(crate) fn settled(&self, buffer: Buffer) -> &[u8] {
        assert!(!self.busy, "copies are under way");
        self.pairs[buffer as usize].host.as_bytes()
    }

    /// Waits for all that was put on the stream.
    pub(crate) fn settle(&mut self) -> Result<()> {
        if !self.busy {
            return Ok(());
        }
        // Also after an error nothing is under way any more: the driver has given up the context.
        self.busy = false;
        // SAFETY: the stream lives as long as the lane.
        unsafe { result::stream::synchronize(self.stream) }.map_err(error("waiting for the device"))
    }

    /// Notes that work was put on the stream.
    pub(crate) fn set_busy(&mut self) {
        self.busy = true;
    }

    /// Copies the first `len` bytes to the device.
    pub(crate) fn upload(&mut self, buffer: Buffer, len: usize) -> Result<()> {
        let pair = &mut self.pairs[buffer as usize];
        let from = &pair.host.as_bytes()[..len];
        assert!(len <= pair.memory.len, "both sides have grown");
        self.busy = true;
        // SAFETY: both sides hold `len` bytes; the host's is not touched before `settle`, which `busy` demands.
        let copied = unsafe { result::memcpy_htod_async(pair.memory.address, from, self.stream) };
        copied.map_err(error("copying to the device"))
    }

    /// Copies bytes `start..end` back, to the same place.
    pub(crate) fn download(&mut self, buffer: Buffer, start: usize, end: usize) -> Result<()> {
        let pair = &mut self.pairs[buffer as usize];
        assert!(end <= pair.memory.len, "both sides have grown");
        let to = &mut pair.host.bytes()[start..end];
        self.busy = true;
        let from = pair.memory.address + start as u64;
        // SAFETY: both sides hold `end` bytes; the host's is not touched before `settle`, which `busy` demands.
        let copied = unsafe { result::memcpy_dtoh_async(to, from, self.stream) };
        copied.map_err(error("copying from the device"))
    }

    /// Copies the first `width` bytes of each of `rows` rows back, which are `pitch` bytes apart on both sides.
    pub(crate) fn download_rows(
        &mut self,
        buffer: Buffer,
        pitch: usize,
        width: usize,
        rows: usize,
    ) -> Result<()> {
        let pair = &mut self.pairs[buffer as usize];
        let to = pair.host.bytes();
        assert!(width <= pitch && pitch * rows <= to.len().min(pair.memory.len), "both sides have grown");
        let copy = sys::CUDA_MEMCPY2D {
            srcXInBytes: 0,
            srcY: 0,
            srcMemoryType: sys::CUmemorytype::CU_MEMORYTYPE_DEVICE,
            srcHost: std::ptr::null(),
            srcDevice: pair.memory.address,
            srcArray: std::ptr::null_mut(),
            srcPitch: pitch,
            dstXInBytes: 0,
            dstY: 0,
            dstMemoryType: sys::CUmemorytype::CU_MEMORYTYPE_HOST,
            dstHost: to.as_mut_ptr().cast(),
            dstDevice: 0,
            dstArray: std::ptr::null_mut(),
            dstPitch: pitch,
            WidthInBytes: width,
            Height: rows,
        };
        self.busy = true;
        // SAFETY: both sides hold `rows` rows; the host's is not touched before `settle`, which `busy` demands.
        let copied = unsafe { sys::cuMemcpy2DAsync_v2(&raw const copy, self.stream) };
        copied.result().map_err(error("copying from the device"))
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        // What cannot be given back is the driver's loss, which has said why by now.
        let _ = self.enter();
        let _ = self.settle();
        // SAFETY: nothing uses the stream after this.
        let _ = unsafe { result::stream::destroy(self.stream) };
    }
}

/// Memory on the device.
#[derive(Default)]
struct Memory {
    address: u64,
    len: usize,
}

impl Memory {
    fn grow(&mut self, len: usize) -> Result<()> {
        if len <= self.len {
            return Ok(());
        }
        // First the old: both at once may not fit.
        *self = Self::default();
        // SAFETY: allocates; the context is current.
        let address = unsafe { result::malloc_sync(len) };
        self.address = address.map_err(error(&format!("allocating {} MiB", len >> 20)))?;
        self.len = len;
        Ok(())
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: allocated by `grow`, freed once; its lane has settled.
            let _ = unsafe { result::free_sync(self.address) };
        }
    }
}

/// Memory of the host, from which and to which the device copies.
enum Staging {
    Pinned { start: *mut u8, len: usize },
    Pageable(Vec<u8>),
}

impl Default for Staging {
    fn default() -> Self {
        Self::Pageable(Vec::new())
    }
}

impl Staging {
    fn grow(&mut self, len: usize, pinned: bool) -> Result<()> {
        if len <= self.as_bytes().len() {
            return Ok(());
        }
        *self = Self::default();
        *self = if pinned { Self::pinned(len)? } else { Self::Pageable(vec![0; len]) };
        Ok(())
    }

    fn pinned(len: usize) -> Result<Self> {
        // SAFETY: allocates; the context is current.
        let start = unsafe { result::malloc_host(len, 0) };
        let start = start.map_err(error(&format!("pinning {} MiB of memory", len >> 20)))?.cast::<u8>();
        // SAFETY: the driver has allocated `len` bytes there.
        unsafe { start.write_bytes(0, len) };
        Ok(Self::Pinned { start, len })
    }

    fn as_bytes(&self) -> &[u8] {
        match self {
            // SAFETY: `len` initialised bytes, which this value owns.
            Self::Pinned { start, len } => unsafe { slice::from_raw_parts(*start, *len) },
            Self::Pageable(bytes) => bytes,
        }
    }

    fn bytes(&mut self) -> &mut [u8] {
        match self {
            // SAFETY: `len` initialised bytes, which this value owns.
            Self::Pinned { start, len } => unsafe { slice::from_raw_parts_mut(*start, *len) },
            Self::Pageable(bytes) => bytes,
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Self::Pinned { start, .. } = self {
            // SAFETY: allocated by `pinned`, freed once; its lane has settled.
            let _ = unsafe { result::free_host(start.cast()) };
        }
    }
}
