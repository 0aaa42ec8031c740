//! A double of `libqatzip.so.3`: the vendor's symbols, working in host memory, with faults on demand.
//!
//! It behaves as QATzip 1.3 was read to: pieces of 64 KiB become frames, requests below 1024 bytes are no matter for the device,
//! a second start answers "done already" also when the first failed, truncated input and small destinations are successes with
//! less output. Faults, by variables `CLIPSMASTER_DOUBLE_QATZIP_*`: `NO_DEVICE`; `LOST_AFTER`, `LOW_MEMORY_AFTER`, `WRONG_AFTER`,
//! `HANG_AFTER`, which take a number of requests that still go well.

#![expect(unsafe_code, reason = "exports C symbols")]
#![allow(missing_docs, reason = "described in the vendor's qatzip.h")]
#![allow(clippy::missing_safety_doc, reason = "described in the vendor's qatzip.h")]
#![allow(clippy::multiple_unsafe_ops_per_block, reason = "reads and writes what the caller passed")]

mod frames;

use std::{
    env,
    ffi::{c_int, c_long, c_uchar, c_uint, c_ulong, c_void},
    ptr, slice,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::Duration,
};

const QZ_OK: c_int = 0;
const QZ_DUPLICATE: c_int = 1;
const QZ_PARAMS: c_int = -1;
const QZ_FAIL: c_int = -2;
const QZ_BUF_ERROR: c_int = -3;
const QZ_DATA_ERROR: c_int = -4;
const QZ_NOSW_NO_HW: c_int = -101;
const QZ_NOSW_NO_INST_ATTACH: c_int = -103;
const QZ_NOSW_LOW_MEM: c_int = -104;

const PIECE_BYTES: c_uint = 64 << 10;
const THRESHOLD_BYTES: c_uint = 1024;
const DEFLATE: c_uchar = 8;
const LZ4: c_uchar = b'4';

#[repr(C)]
#[derive(Debug)]
pub struct Session {
    hw_session_stat: c_long,
    thd_sess_stat: c_int,
    internal: *mut c_void,
    total_in: c_ulong,
    total_out: c_ulong,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Common {
    direction: c_uint,
    comp_lvl: c_uint,
    comp_algorithm: c_uchar,
    max_forks: c_uint,
    sw_backup: c_uchar,
    hw_buff_sz: c_uint,
    strm_buff_sz: c_uint,
    input_sz_thrshold: c_uint,
    req_cnt_thrshold: c_uint,
    wait_cnt_thrshold: c_uint,
    polling_mode: c_uint,
    is_sensitive_mode: c_uint,
}

#[repr(C)]
#[derive(Debug)]
pub struct DeflateExt {
    common: Common,
    huffman_hdr: c_uint,
    data_fmt: c_uint,
    stop_decompression_stream_end: c_uchar,
    zlib_format: c_uchar,
}

#[repr(C)]
#[derive(Debug)]
pub struct Component {
    component_type: c_uint,
    component_name: [c_uchar; 64],
    version: [c_uint; 4],
    reserved: [c_uchar; 52],
}

fn number(fault: &str) -> Option<u64> {
    env::var(format!("CLIPSMASTER_DOUBLE_QATZIP_{fault}")).ok()?.parse().ok()
}

fn has_device() -> bool {
    env::var_os("CLIPSMASTER_DOUBLE_QATZIP_NO_DEVICE").is_none()
}

/// Whether the request that begins now is a wrong one; the fault that ends it, otherwise.
fn request() -> Result<bool, c_int> {
    static REQUESTS: AtomicU64 = AtomicU64::new(0);
    let so_far = REQUESTS.fetch_add(1, Relaxed);
    let is_due = |fault| number(fault).is_some_and(|n| so_far >= n);
    while is_due("HANG_AFTER") {
        thread::sleep(Duration::from_secs(1));
    }
    if is_due("LOST_AFTER") {
        return Err(QZ_NOSW_NO_INST_ATTACH);
    }
    if is_due("LOW_MEMORY_AFTER") {
        return Err(QZ_NOSW_LOW_MEM);
    }
    Ok(is_due("WRONG_AFTER"))
}

fn common(algorithm: c_uchar) -> Common {
    Common {
        direction: 2,
        comp_lvl: 1,
        comp_algorithm: algorithm,
        max_forks: 3,
        sw_backup: 1,
        hw_buff_sz: PIECE_BYTES,
        strm_buff_sz: PIECE_BYTES,
        input_sz_thrshold: THRESHOLD_BYTES,
        req_cnt_thrshold: 32,
        wait_cnt_thrshold: 8,
        polling_mode: 0,
        is_sensitive_mode: 0,
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn qzSetLogLevel(level: c_uint) -> c_uint {
    level
}

#[unsafe(no_mangle)]
pub extern "C" fn qzInit(session: *mut Session, sw_backup: c_uchar) -> c_int {
    static STARTED: AtomicBool = AtomicBool::new(false);
    if session.is_null() || sw_backup > 1 {
        return QZ_PARAMS;
    }
    if STARTED.swap(true, Relaxed) {
        return QZ_DUPLICATE;
    }
    // With software allowed, nobody can tell.
    if has_device() || sw_backup == 1 { QZ_OK } else { QZ_NOSW_NO_HW }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn qzGetDefaultsDeflateExt(params: *mut DeflateExt) -> c_int {
    let defaults = DeflateExt {
        common: common(DEFLATE),
        huffman_hdr: 0,
        data_fmt: 2,
        stop_decompression_stream_end: 0,
        zlib_format: 0,
    };
    // SAFETY: the caller's structure.
    unsafe { params.write(defaults) };
    QZ_OK
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn qzGetDefaultsLZ4(params: *mut Common) -> c_int {
    // SAFETY: the caller's structure.
    unsafe { params.write(common(LZ4)) };
    QZ_OK
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn qzSetupSessionDeflateExt(session: *mut Session, params: *const DeflateExt) -> c_int {
    // SAFETY: the caller's structures.
    let (session, params) = unsafe { (&mut *session, &*params) };
    if params.data_fmt == 2 && params.zlib_format == 0 { setup(session, params.common) } else { QZ_PARAMS }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn qzSetupSessionLZ4(session: *mut Session, params: *const Common) -> c_int {
    // SAFETY: the caller's structures.
    let (session, params) = unsafe { (&mut *session, *params) };
    setup(session, params)
}

fn setup(session: &mut Session, params: Common) -> c_int {
    if params.hw_buff_sz != PIECE_BYTES || !(1..=9).contains(&params.comp_lvl) {
        return QZ_PARAMS;
    }
    if !session.internal.is_null() {
        return QZ_DUPLICATE;
    }
    if !has_device() && params.sw_backup == 0 {
        return QZ_NOSW_NO_HW;
    }
    session.internal = Box::into_raw(Box::new(params)).cast();
    session.hw_session_stat = 0;
    QZ_OK
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn qzTeardownSession(session: *mut Session) -> c_int {
    // SAFETY: the caller's structure.
    let session = unsafe { &mut *session };
    if !session.internal.is_null() {
        // SAFETY: `setup` put it there.
        drop(unsafe { Box::from_raw(session.internal.cast::<Common>()) });
        session.internal = ptr::null_mut();
    }
    QZ_OK
}

#[unsafe(no_mangle)]
pub extern "C" fn qzClose(session: *mut Session) -> c_int {
    if session.is_null() { QZ_PARAMS } else { QZ_OK }
}

#[unsafe(no_mangle)]
pub extern "C" fn qzMaxCompressedLength(len: c_uint, _session: *mut Session) -> c_uint {
    len + len / 8 + 48 + 64 * (1 + len / PIECE_BYTES)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn qzGetSoftwareComponentVersionList(
    list: *mut Component,
    count: *mut c_uint,
) -> c_int {
    let mut name = [0; 64];
    let text = b"simulated QATzip";
    name[..text.len()].copy_from_slice(text);
    let own = Component { component_type: 3, component_name: name, version: [1, 3, 1, 0], reserved: [0; 52] };
    // SAFETY: the caller's list, of the length it says.
    unsafe {
        if *count < 1 {
            return QZ_PARAMS;
        }
        list.write(own);
        count.write(1);
    }
    QZ_OK
}

/// Works on source and destination: bytes read and written.
type Work = fn(&Common, &[u8], &mut [u8]) -> Result<(usize, usize), c_int>;

/// One request on the caller's buffers: what `work` did with them, or its answer.
unsafe fn on_buffers(
    session: *const Session,
    (src, src_len): (*const c_uchar, *mut c_uint),
    (dst, dst_len): (*mut c_uchar, *mut c_uint),
    work: Work,
) -> c_int {
    // SAFETY: buffers and lengths are the caller's, and `setup` put the parameters there.
    let (params, src, dst) = unsafe {
        let params = (*session).internal.cast::<Common>();
        if params.is_null() {
            return QZ_FAIL;
        }
        let (src, dst) = (
            slice::from_raw_parts(src, *src_len as usize),
            slice::from_raw_parts_mut(dst, *dst_len as usize),
        );
        (&*params, src, dst)
    };
    let answer = request().and_then(|is_wrong| {
        let (read, written) = work(params, src, dst)?;
        if is_wrong && written > 0 {
            dst[written / 2] ^= 1;
        }
        Ok((read, written))
    });
    let (answer, (read, written)) = answer.map_or_else(|e| (e, (0, 0)), |done| (QZ_OK, done));
    // SAFETY: the caller's numbers.
    unsafe { src_len.write(read as c_uint) };
    // SAFETY: as above.
    unsafe { dst_len.write(written as c_uint) };
    answer
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn qzCompress(
    session: *mut Session,
    src: *const c_uchar,
    src_len: *mut c_uint,
    dst: *mut c_uchar,
    dst_len: *mut c_uint,
    _last: c_uint,
) -> c_int {
    let work = |params: &Common, src: &[u8], dst: &mut [u8]| {
        if (src.len() as c_uint) < params.input_sz_thrshold {
            // The real one would do it in software; nobody is to rely on that.
            return Err(QZ_FAIL);
        }
        let mut written = 0;
        for piece in src.chunks(PIECE_BYTES as usize) {
            let frame = if params.comp_algorithm == LZ4 {
                frames::lz4(piece)
            } else {
                frames::gzip(piece, params.comp_lvl)
            };
            let room = dst.get_mut(written..written + frame.len()).ok_or(QZ_BUF_ERROR)?;
            room.copy_from_slice(&frame);
            written += frame.len();
        }
        Ok((src.len(), written))
    };
    // SAFETY: as for this function.
    unsafe { on_buffers(session, (src, src_len), (dst, dst_len), work) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn qzDecompress(
    session: *mut Session,
    src: *const c_uchar,
    src_len: *mut c_uint,
    dst: *mut c_uchar,
    dst_len: *mut c_uint,
) -> c_int {
    let work = |params: &Common, src: &[u8], dst: &mut [u8]| {
        let (mut read, mut written) = (0, 0);
        while read < src.len() {
            let is_lz4 = params.comp_algorithm == LZ4;
            let frame = if is_lz4 { frames::lz4_at(&src[read..]) } else { frames::gzip_at(&src[read..]) };
            // Only in software, which is off, or cut: success with what there is so far.
            let Some(frame) = frame else {
                return if read == 0 { Err(QZ_FAIL) } else { Ok((read, written)) };
            };
            let content = frame.content().ok_or(QZ_DATA_ERROR)?;
            let room = content.len().min(dst.len() - written);
            dst[written..written + room].copy_from_slice(&content[..room]);
            written += room;
            if room < content.len() {
                break;
            }
            read += frame.bytes;
        }
        Ok((read, written))
    };
    // SAFETY: as for this function.
    unsafe { on_buffers(session, (src, src_len), (dst, dst_len), work) }
}
