//! A double of the CUDA driver: the functions that `plugins/cuda` calls, in the memory of the host.
//!
//! Work on a stream is put off until the stream is waited for: who does not wait gets old bytes, who changes
//! staging too early sends wrong ones, and who frees memory that a copy still needs is ended.
//!
//! It proves code paths, no speed. Faults: `NO_DEVICE`, `LOST_AFTER` and `HANG_AFTER` (that many calls),
//! `LOST_STREAM` (with the first kernel of the stream of that number, from 1 on), `MEMORY_MIB`, `ALLOCATIONS`
//! (that many on the device work), `NAME`. With `LOG`, a file of that name gets a line for all that is put on
//! a stream or waited for, and for the device memory in use.

#![expect(unsafe_code, reason = "C functions with the driver's signatures")]

mod faults;
#[path = "cuda/streams.rs"]
mod streams;

use faults::{fault, hang, number};
use std::{
    alloc::{Layout, alloc_zeroed, dealloc},
    collections::BTreeMap,
    ffi::{c_char, c_int, c_uint, c_void},
    ptr, slice,
    sync::{
        LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};
use streams::{Kind, Work};

type Answer = c_int;
const SUCCESS: Answer = 0;
const INVALID_VALUE: Answer = 1;
const OUT_OF_MEMORY: Answer = 2;
const NO_DEVICE: Answer = 100;
const LAUNCH_FAILED: Answer = 719;

const DEFAULT_MEMORY_MIB: usize = 4096;
const ALIGNMENT: usize = 256;

/// Faults that count are looked up once: a job has one environment.
static LOST_AFTER: LazyLock<Option<usize>> = LazyLock::new(|| number("LOST_AFTER"));
static HANG_AFTER: LazyLock<Option<usize>> = LazyLock::new(|| number("HANG_AFTER"));
static LOST_STREAM: LazyLock<Option<usize>> = LazyLock::new(|| number("LOST_STREAM"));
static ALLOCATIONS: LazyLock<Option<usize>> = LazyLock::new(|| number("ALLOCATIONS"));
static LOST: AtomicBool = AtomicBool::new(false);
static CALLS: AtomicUsize = AtomicUsize::new(0);
/// What was allocated on the device and on the host: address and length.
static DEVICE: Mutex<BTreeMap<usize, usize>> = Mutex::new(BTreeMap::new());
static HOST: Mutex<BTreeMap<usize, usize>> = Mutex::new(BTreeMap::new());

/// Counts a call; whether it works.
fn called() -> Answer {
    let calls = CALLS.fetch_add(1, Relaxed);
    if HANG_AFTER.is_some_and(|n| calls >= n) {
        hang();
    }
    if LOST.load(Relaxed) || LOST_AFTER.is_some_and(|n| calls >= n) { LAUNCH_FAILED } else { SUCCESS }
}

/// Counts a call that stores `value`.
fn answer<T>(to: *mut T, value: impl FnOnce() -> Result<T, Answer>) -> Answer {
    match called() {
        SUCCESS => match value() {
            Ok(value) => {
                // SAFETY: every caller hands in a valid place, as for the real function.
                unsafe { to.write(value) };
                SUCCESS
            }
            Err(code) => code,
        },
        code => code,
    }
}

fn lock(memory: &Mutex<BTreeMap<usize, usize>>) -> MutexGuard<'_, BTreeMap<usize, usize>> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

fn total_bytes() -> usize {
    number("MEMORY_MIB").unwrap_or(DEFAULT_MEMORY_MIB) << 20
}

fn allocate(memory: &Mutex<BTreeMap<usize, usize>>, len: usize) -> Result<usize, Answer> {
    let layout = Layout::from_size_align(len, ALIGNMENT).map_err(|_| INVALID_VALUE)?;
    if len == 0 {
        return Err(INVALID_VALUE);
    }
    // SAFETY: the length is not 0.
    let address = unsafe { alloc_zeroed(layout) } as usize;
    if address == 0 {
        return Err(OUT_OF_MEMORY);
    }
    lock(memory).insert(address, len);
    Ok(address)
}

fn free(memory: &Mutex<BTreeMap<usize, usize>>, address: usize) -> Answer {
    let Some(len) = lock(memory).remove(&address) else { return INVALID_VALUE };
    streams::assert_unused(address, len);
    let layout = Layout::from_size_align(len, ALIGNMENT).expect("it was allocated with that");
    // SAFETY: `allocate` made it, and it was in the list only until now.
    unsafe { dealloc(address as *mut u8, layout) };
    called()
}

/// Whether `len` bytes from `address` on lie in one allocation of the device.
fn on_device(address: u64, len: usize) -> bool {
    let address = address as usize;
    let memory = lock(&DEVICE);
    let found = memory.range(..=address).next_back();
    found.is_some_and(|(start, room)| address + len <= start + room)
}

#[unsafe(no_mangle)]
extern "C" fn cuInit(_flags: c_uint) -> Answer {
    if fault("NO_DEVICE").is_some() { NO_DEVICE } else { called() }
}

#[unsafe(no_mangle)]
extern "C" fn cuDriverGetVersion(version: *mut c_int) -> Answer {
    answer(version, || Ok(12080))
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetCount(count: *mut c_int) -> Answer {
    answer(count, || Ok(1))
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGet(device: *mut c_int, index: c_int) -> Answer {
    answer(device, || Ok(index))
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetName(name: *mut c_char, len: c_int, _device: c_int) -> Answer {
    let text = fault("NAME").unwrap_or_else(|| "Double GPU simulated".into());
    // SAFETY: the caller hands in `len` bytes.
    let room = unsafe { slice::from_raw_parts_mut(name.cast::<u8>(), len as usize) };
    room.fill(0);
    let fits = text.len().min(room.len() - 1);
    room[..fits].copy_from_slice(&text.as_bytes()[..fits]);
    called()
}

#[unsafe(no_mangle)]
extern "C" fn cuDevicePrimaryCtxRetain(context: *mut *mut c_void, _device: c_int) -> Answer {
    answer(context, || Ok(ptr::dangling_mut()))
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxSetCurrent(_context: *mut c_void) -> Answer {
    called()
}

#[unsafe(no_mangle)]
extern "C" fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) -> Answer {
    let used: usize = lock(&DEVICE).values().sum();
    // SAFETY: the caller hands in a valid place.
    unsafe { total.write(total_bytes()) };
    answer(free, || Ok(total_bytes().saturating_sub(used)))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemAlloc_v2(address: *mut u64, len: usize) -> Answer {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let used = len + lock(&DEVICE).values().sum::<usize>();
    answer(address, || {
        let made = MADE.fetch_add(1, Relaxed);
        if used > total_bytes() || ALLOCATIONS.is_some_and(|n| made >= n) {
            return Err(OUT_OF_MEMORY);
        }
        streams::log(&format!("memory {used}"));
        Ok(allocate(&DEVICE, len)? as u64)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemFree_v2(address: u64) -> Answer {
    free(&DEVICE, address as usize)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemHostAlloc(address: *mut *mut c_void, len: usize, _flags: c_uint) -> Answer {
    answer(address, || Ok(allocate(&HOST, len)? as *mut c_void))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemFreeHost(address: *mut c_void) -> Answer {
    free(&HOST, address as usize)
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamCreate(stream: *mut *mut c_void, _flags: c_uint) -> Answer {
    answer(stream, || Ok(ptr::without_provenance_mut(streams::create())))
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamDestroy_v2(stream: *mut c_void) -> Answer {
    streams::destroy(stream.addr());
    called()
}

/// Does what was put on the stream; when the device is lost, drops it.
#[unsafe(no_mangle)]
extern "C" fn cuStreamSynchronize(stream: *mut c_void) -> Answer {
    let work = streams::take(stream.addr());
    if *LOST_STREAM == Some(stream.addr()) && work.iter().any(|w| w.kind == Kind::Kernel) {
        LOST.store(true, Relaxed);
    }
    let code = called();
    if code == SUCCESS {
        work.into_iter().for_each(|w| (w.act)());
    }
    code
}

/// What the double of nvCOMP starts its kernels with.
#[unsafe(no_mangle)]
extern "C" fn cuLaunchHostFunc(
    stream: *mut c_void,
    function: extern "C" fn(*mut c_void),
    data: *mut c_void,
) -> Answer {
    let data = data as usize;
    put(stream, Kind::Kernel, Vec::new(), move || function(data as *mut c_void))
}

/// Counts a call that puts work on a stream.
fn put(
    stream: *mut c_void,
    kind: Kind,
    uses: Vec<(usize, usize)>,
    act: impl FnOnce() + Send + 'static,
) -> Answer {
    let code = called();
    if code == SUCCESS {
        streams::put(stream.addr(), Work { kind, uses, act: Box::new(act) });
    }
    code
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyHtoDAsync_v2(to: u64, from: *const c_void, len: usize, stream: *mut c_void) -> Answer {
    if !on_device(to, len) {
        return INVALID_VALUE;
    }
    let (to, from) = (to as usize, from as usize);
    put(stream, Kind::Upload, vec![(to, len), (from, len)], move || {
        // SAFETY: the target was found among the allocations, the source is the caller's, and `free` sees to
        // it that they stay.
        unsafe { ptr::copy_nonoverlapping(from as *const u8, to as *mut u8, len) };
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyDtoHAsync_v2(to: *mut c_void, from: u64, len: usize, stream: *mut c_void) -> Answer {
    if !on_device(from, len) {
        return INVALID_VALUE;
    }
    let (to, from) = (to as usize, from as usize);
    put(stream, Kind::Download, vec![(to, len), (from, len)], move || {
        // SAFETY: the source was found among the allocations, the target is the caller's, and `free` sees to
        // it that they stay.
        unsafe { ptr::copy_nonoverlapping(from as *const u8, to as *mut u8, len) };
    })
}

/// `CUDA_MEMCPY2D`.
#[repr(C)]
struct Copy2D {
    source_x: usize,
    source_y: usize,
    source_type: c_int,
    source_host: *const c_void,
    source_device: u64,
    source_array: *mut c_void,
    source_pitch: usize,
    target_x: usize,
    target_y: usize,
    target_type: c_int,
    target_host: *mut c_void,
    target_device: u64,
    target_array: *mut c_void,
    target_pitch: usize,
    width: usize,
    height: usize,
}

/// From the device to the host only.
#[unsafe(no_mangle)]
extern "C" fn cuMemcpy2DAsync_v2(copy: *const Copy2D, stream: *mut c_void) -> Answer {
    // SAFETY: the caller hands in a valid description.
    let copy = unsafe { &*copy };
    let rows_bytes = copy.source_pitch * copy.height.saturating_sub(1) + copy.width;
    let kinds = (copy.source_type, copy.target_type);
    let starts = [copy.source_x, copy.source_y, copy.target_x, copy.target_y];
    if kinds != (2, 1) || starts != [0; 4] || !on_device(copy.source_device, rows_bytes) {
        return INVALID_VALUE;
    }
    let (from, to) = (copy.source_device as usize, copy.target_host as usize);
    let (from_pitch, to_pitch, width, height) =
        (copy.source_pitch, copy.target_pitch, copy.width, copy.height);
    let target_bytes = to_pitch * height.saturating_sub(1) + width;
    put(stream, Kind::Download, vec![(from, rows_bytes), (to, target_bytes)], move || {
        for row in 0..height {
            let (from, to) = (from + row * from_pitch, to + row * to_pitch);
            // SAFETY: the rows were found among the allocations, the target is the caller's, and `free` sees
            // to it that they stay.
            unsafe { ptr::copy_nonoverlapping(from as *const u8, to as *mut u8, width) };
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuGetErrorString(code: c_int, text: *mut *const c_char) -> Answer {
    let known = match code {
        OUT_OF_MEMORY => c"out of memory",
        LAUNCH_FAILED => c"unspecified launch failure",
        NO_DEVICE => c"no CUDA-capable device is detected",
        _ => c"an error of the double",
    };
    // SAFETY: the caller hands in a valid place.
    unsafe { text.write(known.as_ptr()) };
    SUCCESS
}
