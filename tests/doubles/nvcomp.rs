//! A double of nvCOMP 6: the functions that `plugins/cuda` calls, with real codecs in the memory of the host.
//!
//! Kernels are put on the stream, through the double of the driver, and work when that is waited for.
//!
//! It proves code paths, no speed. Faults: `NVCOMP_VERSION`, `NVCOMP_LOST_AFTER` (that many calls), `WRONG_BYTES` (`compress` or
//! `decompress`; with `WRONG_LAUNCH`, only in the launch of that number, from 0 on), `REFUSED_LAUNCH` (of
//! that number), `NO_CONTENT_SIZE`.

#![expect(unsafe_code, reason = "C functions with the library's signatures")]

mod faults;

use faults::{fault, number};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use std::{
    ffi::{c_char, c_int, c_void},
    io::{Read, Write},
    slice,
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};
use zstd::zstd_safe::{CCtx, CParameter};

type Status = i32;
const SUCCESS: Status = 0;
const INVALID_VALUE: Status = 10;
const CANNOT_DECOMPRESS: Status = 12;
const CUDA_ERROR: Status = 1000;
/// Alignment that is asked for, and insisted on.
const ALIGNMENT: usize = 8;

static LOST_AFTER: LazyLock<Option<usize>> = LazyLock::new(|| number("NVCOMP_LOST_AFTER"));
static WRONG_BYTES: LazyLock<String> = LazyLock::new(|| fault("WRONG_BYTES").unwrap_or_default());
static WRONG_LAUNCH: LazyLock<Option<usize>> = LazyLock::new(|| number("WRONG_LAUNCH"));
static REFUSED_LAUNCH: LazyLock<Option<usize>> = LazyLock::new(|| number("REFUSED_LAUNCH"));
static NO_CONTENT_SIZE: LazyLock<bool> = LazyLock::new(|| fault("NO_CONTENT_SIZE").is_some());

/// Options: 64 bytes by value.
#[repr(C)]
#[derive(Clone, Copy)]
struct Opts([i32; 16]);

#[repr(C)]
struct Properties {
    version: u32,
    cudart_version: u32,
}

#[unsafe(no_mangle)]
extern "C" fn nvcompGetProperties(properties: *mut Properties) -> Status {
    let version = number("NVCOMP_VERSION").unwrap_or(6000) as u32;
    // SAFETY: the caller hands in a valid place.
    unsafe { properties.write(Properties { version, cudart_version: 12080 }) };
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn nvcompGetStatusString(_status: Status) -> *const c_char {
    c"a status of the double".as_ptr()
}

/// A format: a piece to its compressed form, and back into at most `room` bytes.
trait Family {
    /// Largest output for a piece.
    fn most(len: usize) -> usize;
    fn compress(piece: &[u8], opts: Opts) -> Option<Vec<u8>>;
    fn decompress(piece: &[u8], room: usize) -> Option<Vec<u8>>;
}

struct Lz4;
struct Snappy;
struct Zstd;
struct Gzip;

impl Family for Lz4 {
    fn most(len: usize) -> usize {
        len + len / 255 + 16
    }

    fn compress(piece: &[u8], _opts: Opts) -> Option<Vec<u8>> {
        Some(lz4_flex::block::compress(piece))
    }

    fn decompress(piece: &[u8], room: usize) -> Option<Vec<u8>> {
        lz4_flex::block::decompress(piece, room).ok()
    }
}

impl Family for Snappy {
    fn most(len: usize) -> usize {
        32 + len + len / 6
    }

    fn compress(piece: &[u8], _opts: Opts) -> Option<Vec<u8>> {
        snap::raw::Encoder::new().compress_vec(piece).ok()
    }

    fn decompress(piece: &[u8], _room: usize) -> Option<Vec<u8>> {
        snap::raw::Decoder::new().decompress_vec(piece).ok()
    }
}

impl Family for Zstd {
    fn most(len: usize) -> usize {
        zstd::zstd_safe::compress_bound(len)
    }

    fn compress(piece: &[u8], _opts: Opts) -> Option<Vec<u8>> {
        let mut context = CCtx::create();
        context.set_parameter(CParameter::ContentSizeFlag(!*NO_CONTENT_SIZE)).ok()?;
        let mut out = Vec::with_capacity(Self::most(piece.len()));
        context.compress2(&mut out, piece).ok()?;
        Some(out)
    }

    /// Without checksum and with content size, as far as is known of what the library reads.
    fn decompress(piece: &[u8], room: usize) -> Option<Vec<u8>> {
        let has_checksum = piece.get(4)? & 4 != 0;
        if has_checksum || zstd::zstd_safe::get_frame_content_size(piece).ok()?.is_none() {
            return None;
        }
        zstd::bulk::decompress(piece, room).ok()
    }
}

impl Family for Gzip {
    fn most(len: usize) -> usize {
        2 * len + 1024
    }

    fn compress(piece: &[u8], opts: Opts) -> Option<Vec<u8>> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(1 + opts.0[0].clamp(0, 5) as u32));
        encoder.write_all(piece).ok()?;
        encoder.finish().ok()
    }

    /// One member, and silence about what follows it.
    fn decompress(piece: &[u8], room: usize) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        GzDecoder::new(piece).take(room as u64 + 1).read_to_end(&mut out).ok()?;
        Some(out)
    }
}

/// Puts `kernel` on the stream, and hands it the number of its launch.
fn launch(stream: *mut c_void, kernel: impl FnOnce(usize) + 'static) -> Status {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let calls = CALLS.fetch_add(1, Relaxed);
    if LOST_AFTER.is_some_and(|n| calls >= n) {
        return CUDA_ERROR;
    }
    if *REFUSED_LAUNCH == Some(calls) {
        return INVALID_VALUE;
    }
    let Some(launch_host_func) = *LAUNCH_HOST_FUNC else { return CUDA_ERROR };
    let kernel: Kernel = Box::new(move || kernel(calls));
    let code = launch_host_func(stream, work, Box::into_raw(Box::new(kernel)).cast());
    if code == 0 { SUCCESS } else { CUDA_ERROR }
}

type Kernel = Box<dyn FnOnce()>;
type LaunchHostFunc = extern "C" fn(*mut c_void, extern "C" fn(*mut c_void), *mut c_void) -> c_int;

/// The driver's function, of the library that the loader finds under the name the plugin asks for.
static LAUNCH_HOST_FUNC: LazyLock<Option<LaunchHostFunc>> = LazyLock::new(|| {
    const NOW: c_int = 2;
    unsafe extern "C" {
        fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
        fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    }
    // SAFETY: the name ends with NUL; the library is the double, whose constructors are harmless.
    let library = unsafe { dlopen(c"libcuda.so".as_ptr(), NOW) };
    if library.is_null() {
        return None;
    }
    // SAFETY: the library is open, and never closed.
    let function = unsafe { dlsym(library, c"cuLaunchHostFunc".as_ptr()) };
    // SAFETY: a pointer to a function, or NULL; the signature is the driver's.
    unsafe { std::mem::transmute::<*mut c_void, Option<LaunchHostFunc>>(function) }
});

extern "C" fn work(kernel: *mut c_void) {
    // SAFETY: `launch` made it, and the driver calls this once.
    let kernel = unsafe { Box::from_raw(kernel.cast::<Kernel>()) };
    kernel();
}

/// The `n` elements of an array on the "device".
fn array<'a, T>(start: *const T, n: usize) -> &'a [T] {
    // SAFETY: the caller of the library says so.
    unsafe { slice::from_raw_parts(start, n) }
}

fn array_mut<'a, T>(start: *mut T, n: usize) -> &'a mut [T] {
    // SAFETY: the caller of the library says so, and that nobody else uses it.
    unsafe { slice::from_raw_parts_mut(start, n) }
}

/// What every launch gets: arrays of as many elements as there are pieces.
struct Batch<'a> {
    inputs: &'a [*const u8],
    input_lens: &'a [usize],
    outputs: &'a [*mut u8],
    output_lens: &'a mut [usize],
    statuses: &'a mut [Status],
}

impl Batch<'_> {
    fn new(
        n: usize,
        inputs: *const *const u8,
        input_lens: *const usize,
        outputs: *const *mut u8,
        output_lens: *mut usize,
        statuses: *mut Status,
    ) -> Self {
        Self {
            inputs: array(inputs, n),
            input_lens: array(input_lens, n),
            outputs: array(outputs, n),
            output_lens: array_mut(output_lens, n),
            statuses: array_mut(statuses, n),
        }
    }
}

/// Does `work` on every piece, with its number.
fn run(batch: Batch<'_>, wrong: bool, work: impl Fn(usize, &[u8]) -> Option<Vec<u8>>) {
    for i in 0..batch.inputs.len() {
        if !(batch.inputs[i] as usize).is_multiple_of(ALIGNMENT)
            || !(batch.outputs[i] as usize).is_multiple_of(ALIGNMENT)
        {
            batch.statuses[i] = INVALID_VALUE;
            continue;
        }
        let Some(mut out) = work(i, array(batch.inputs[i], batch.input_lens[i])) else {
            batch.statuses[i] = CANNOT_DECOMPRESS;
            batch.output_lens[i] = 0;
            continue;
        };
        if wrong {
            let middle = out.len() / 2;
            out[middle] ^= 1;
        }
        array_mut(batch.outputs[i], out.len()).copy_from_slice(&out);
        batch.output_lens[i] = out.len();
        batch.statuses[i] = SUCCESS;
    }
}

/// Whether that launch is to make wrong bytes.
fn is_wrong(way: &str, launch: usize) -> bool {
    *WRONG_BYTES == way && WRONG_LAUNCH.is_none_or(|n| n == launch)
}

fn alignments(to: *mut [usize; 3]) -> Status {
    // SAFETY: the caller hands in a valid place.
    unsafe { to.write([ALIGNMENT; 3]) };
    SUCCESS
}

fn store(to: *mut usize, value: usize) -> Status {
    // SAFETY: the caller hands in a valid place.
    unsafe { to.write(value) };
    SUCCESS
}

macro_rules! family {
    ($family:ty: $align:ident, $temp:ident, $most:ident, $compress:ident, $d_align:ident, $d_temp:ident, $decompress:ident) => {
        #[unsafe(no_mangle)]
        extern "C" fn $align(_: Opts, to: *mut [usize; 3]) -> Status {
            alignments(to)
        }

        #[unsafe(no_mangle)]
        extern "C" fn $d_align(_: Opts, to: *mut [usize; 3]) -> Status {
            alignments(to)
        }

        #[unsafe(no_mangle)]
        extern "C" fn $temp(
            n: usize,
            most: usize,
            _: Opts,
            to: *mut usize,
            _: usize,
            _: *mut c_void,
        ) -> Status {
            store(to, n * most / 2)
        }

        #[unsafe(no_mangle)]
        extern "C" fn $d_temp(
            n: usize,
            _: usize,
            _: Opts,
            to: *mut usize,
            _: usize,
            _: *mut c_void,
        ) -> Status {
            store(to, n)
        }

        #[unsafe(no_mangle)]
        extern "C" fn $most(len: usize, _: Opts, to: *mut usize) -> Status {
            store(to, <$family>::most(len))
        }

        #[unsafe(no_mangle)]
        extern "C" fn $compress(
            inputs: *const *const u8,
            input_lens: *const usize,
            most_bytes: usize,
            n: usize,
            _scratch: *mut c_void,
            scratch_bytes: usize,
            outputs: *const *mut u8,
            output_lens: *mut usize,
            opts: Opts,
            statuses: *mut Status,
            stream: *mut c_void,
        ) -> Status {
            if scratch_bytes < n * most_bytes / 2 {
                return INVALID_VALUE;
            }
            launch(stream, move |number| {
                let batch = Batch::new(n, inputs, input_lens, outputs, output_lens, statuses);
                run(batch, is_wrong("compress", number), |_, piece| {
                    let out = <$family>::compress(piece, opts)?;
                    (piece.len() <= most_bytes && out.len() <= <$family>::most(most_bytes)).then_some(out)
                });
            })
        }

        #[unsafe(no_mangle)]
        extern "C" fn $decompress(
            inputs: *const *const u8,
            input_lens: *const usize,
            rooms: *const usize,
            output_lens: *mut usize,
            n: usize,
            _scratch: *mut c_void,
            scratch_bytes: usize,
            outputs: *const *mut u8,
            _opts: Opts,
            statuses: *mut Status,
            stream: *mut c_void,
        ) -> Status {
            if scratch_bytes < n {
                return INVALID_VALUE;
            }
            launch(stream, move |number| {
                let rooms = array(rooms, n);
                let batch = Batch::new(n, inputs, input_lens, outputs, output_lens, statuses);
                run(batch, is_wrong("decompress", number), |i, piece| {
                    <$family>::decompress(piece, rooms[i]).filter(|out| out.len() <= rooms[i])
                });
            })
        }
    };
}

family! { Lz4: nvcompBatchedLZ4CompressGetRequiredAlignments, nvcompBatchedLZ4CompressGetTempSize,
nvcompBatchedLZ4CompressGetMaxOutputChunkSize, nvcompBatchedLZ4CompressAsync,
nvcompBatchedLZ4DecompressGetRequiredAlignments, nvcompBatchedLZ4DecompressGetTempSize,
nvcompBatchedLZ4DecompressAsync }
family! { Snappy: nvcompBatchedSnappyCompressGetRequiredAlignments, nvcompBatchedSnappyCompressGetTempSize,
nvcompBatchedSnappyCompressGetMaxOutputChunkSize, nvcompBatchedSnappyCompressAsync,
nvcompBatchedSnappyDecompressGetRequiredAlignments, nvcompBatchedSnappyDecompressGetTempSize,
nvcompBatchedSnappyDecompressAsync }
family! { Zstd: nvcompBatchedZstdCompressGetRequiredAlignments, nvcompBatchedZstdCompressGetTempSize,
nvcompBatchedZstdCompressGetMaxOutputChunkSize, nvcompBatchedZstdCompressAsync,
nvcompBatchedZstdDecompressGetRequiredAlignments, nvcompBatchedZstdDecompressGetTempSize,
nvcompBatchedZstdDecompressAsync }
family! { Gzip: nvcompBatchedGzipCompressGetRequiredAlignments, nvcompBatchedGzipCompressGetTempSize,
nvcompBatchedGzipCompressGetMaxOutputChunkSize, nvcompBatchedGzipCompressAsync,
nvcompBatchedGzipDecompressGetRequiredAlignments, nvcompBatchedGzipDecompressGetTempSize,
nvcompBatchedGzipDecompressAsync }
