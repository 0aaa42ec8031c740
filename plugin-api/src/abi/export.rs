//! The author's half: turns a [`Codec`] into tables, and its panics and errors into statuses.

use super::{
    ABI_VERSION, BATCH, BatchCodecV1, BatchItemV1, BatchRef, BatchV1, CodecV1, ExtensionRef, InputV1,
    OptionV1, PluginV1, Root, RootRef, STREAM, StreamRef, StreamV1, write_text,
};
use crate::{
    BatchItem, Codec, DecoderLimits, Error, ErrorKind, Input, Manifest, Options, Result, Status,
    codec::Decoder,
};
use abi_stable::{
    StableAbi,
    prefix_type::{PrefixTypeTrait, WithMetadata},
    std_types::{RNone, ROption, RSlice, RSliceMut, RSome, RStr},
};
use std::{
    any::Any,
    ffi::c_void,
    io::{self, Read},
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Runs `f`; a panic or an error becomes a status and a message.
fn guard(text: RSliceMut<'_, u8>, f: impl FnOnce() -> Result<()>) -> Status {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(())) => Status::OK,
        Ok(Err(e)) => {
            write_text(text, &e.message);
            e.kind.into()
        }
        Err(payload) => {
            write_text(text, panic_message(payload.as_ref()));
            // The payload's own drop may panic, outside of any guard.
            mem::forget(payload);
            ErrorKind::Panicked.into()
        }
    }
}

fn panic_message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("panic")
}

/// Runs `f`, which has no room for a message.
fn quiet(f: impl FnOnce() -> Result<()>) -> Status {
    guard(RSliceMut::from_mut_slice(&mut []), f)
}

/// The table of codec `C`.
pub const fn codec_table<C: Codec>() -> CodecV1 {
    CodecV1 {
        descriptor: C::DESCRIPTOR,
        probe: probe::<C>,
        open: open::<C>,
        bound: bound::<C>,
        compress: compress::<C>,
        decompress: decompress::<C>,
        decompressed_len: decompressed_len::<C>,
        scratch_bytes: scratch_bytes::<C>,
        drop: drop_instance::<C>,
    }
}

extern "C" fn probe<C: Codec>(mut text: RSliceMut<'_, u8>) -> Status {
    let mut identity = String::new();
    let status = guard(RSliceMut::from_mut_slice(text.as_mut_slice()), || {
        identity = C::probe().map_err(|missing| {
            let text = format!("{}\n{}", missing.reason, missing.remedy);
            Error::new(ErrorKind::Unsupported, text)
        })?;
        Ok(())
    });
    if status == Status::OK {
        write_text(text, &identity);
    }
    status
}

extern "C" fn open<C: Codec>(
    level: i32,
    options: RSlice<'_, OptionV1<'_>>,
    instance: &mut *mut c_void,
    text: RSliceMut<'_, u8>,
) -> Status {
    guard(text, || {
        let mut values = Options::default();
        options.iter().for_each(|o| values.set(o.name.as_str(), o.value));
        *instance = Box::into_raw(Box::new(C::open(level, &values)?)).cast();
        Ok(())
    })
}

unsafe extern "C" fn bound<C: Codec>(instance: *const c_void, len: usize, bytes: &mut usize) -> Status {
    // SAFETY: the caller passes a live instance made by `open::<C>`.
    let codec = unsafe { &*instance.cast::<C>() };
    quiet(|| {
        *bytes = codec.compress_bound(len);
        Ok(())
    })
}

unsafe extern "C" fn compress<C: Codec>(
    instance: *mut c_void,
    src: RSlice<'_, u8>,
    mut dst: RSliceMut<'_, u8>,
    written: &mut usize,
    text: RSliceMut<'_, u8>,
) -> Status {
    // SAFETY: the caller passes a live instance made by `open::<C>`, used by nobody else meanwhile.
    let codec = unsafe { &mut *instance.cast::<C>() };
    guard(text, || {
        *written = codec.compress(src.as_slice(), dst.as_mut_slice())?;
        Ok(())
    })
}

unsafe extern "C" fn decompress<C: Codec>(
    instance: *mut c_void,
    src: RSlice<'_, u8>,
    mut dst: RSliceMut<'_, u8>,
    written: &mut usize,
    text: RSliceMut<'_, u8>,
) -> Status {
    // SAFETY: as in `compress`.
    let codec = unsafe { &mut *instance.cast::<C>() };
    guard(text, || {
        *written = codec.decompress(src.as_slice(), dst.as_mut_slice())?;
        Ok(())
    })
}

extern "C" fn decompressed_len<C: Codec>(src: RSlice<'_, u8>, bytes: &mut u64) -> Status {
    quiet(|| {
        *bytes = C::decompressed_len(src.as_slice()).ok_or(ErrorKind::Unsupported)?;
        Ok(())
    })
}

extern "C" fn scratch_bytes<C: Codec>(level: i32, len: usize, bytes: &mut u64) -> Status {
    quiet(|| {
        *bytes = C::scratch_bytes(level, len);
        Ok(())
    })
}

unsafe extern "C" fn drop_instance<C: Codec>(instance: *mut c_void) -> Status {
    // SAFETY: the caller gives up an instance made by `open::<C>`.
    let codec = unsafe { Box::from_raw(instance.cast::<C>()) };
    quiet(|| {
        drop(codec);
        Ok(())
    })
}

/// What `export_plugin!` knows about each codec type, in the order of the descriptors.
pub trait CodecList: 'static {
    /// Tables, in order.
    const TABLES: &'static [CodecV1];
    /// Stream decoders, in order.
    const DECODERS: &'static [Option<Decoder>];
    /// Functions on batches, in order; what wants no batches has them for 1 chunk.
    const BATCHES: &'static [BatchCodecV1] = &[];
}

/// The plugin table for the codecs of `L`.
pub const fn plugin_table<L: CodecList>(
    manifest: Manifest,
    extension: extern "C" fn(RStr<'_>) -> ROption<ExtensionRef>,
) -> PluginV1 {
    PluginV1 { abi: ABI_VERSION, manifest, codecs: RSlice::from_slice(L::TABLES), extension }
}

/// The root of a library whose plugin table is `v1`.
pub fn root(v1: &'static PluginV1) -> RootRef {
    Root { v1 }.leak_into_prefix()
}

/// The extensions every plugin has: `stream/1` over the decoders of `L`, and `batch/1`.
pub extern "C" fn standard_extension<L: CodecList>(name: RStr<'_>) -> ROption<ExtensionRef> {
    match name.as_str() {
        STREAM => RSome(extension_ref(Streams::<L>::TABLE)),
        BATCH => RSome(extension_ref(Batches::<L>::TABLE)),
        _ => RNone,
    }
}

/// An extension's table with the layout the other side will check.
pub fn extension_ref<T>(table: T) -> ExtensionRef
where
    T: abi_stable::prefix_type::PrefixRefTrait + StableAbi,
{
    // SAFETY: erasing the type is undone only after `layout` was compared with the layout of the type asked for.
    let erased = unsafe { table.to_prefix_ref().cast() };
    ExtensionRef { table: erased, layout: T::LAYOUT }
}

/// Gives each list of codecs its own `stream/1` table.
struct Streams<L>(std::marker::PhantomData<L>);

impl<L: CodecList> Streams<L> {
    const METADATA: &'static WithMetadata<StreamV1> = &WithMetadata::new(StreamV1 {
        supports: stream_supports::<L>,
        open: stream_open::<L>,
        read: stream_read,
        drop: stream_drop,
    });
    const TABLE: StreamRef = StreamRef(Self::METADATA.static_as_prefix());
}

/// Gives each list of codecs its own `batch/1` table.
struct Batches<L>(std::marker::PhantomData<L>);

impl<L: CodecList> Batches<L> {
    const METADATA: &'static WithMetadata<BatchV1> = &WithMetadata::new(BatchV1 { codec: batches_of::<L> });
    const TABLE: BatchRef = BatchRef(Self::METADATA.static_as_prefix());
}

extern "C" fn batches_of<L: CodecList>(codec: usize) -> ROption<BatchCodecV1> {
    L::BATCHES.get(codec).copied().filter(|batch| batch.chunks > 1).into()
}

/// The functions on batches of codec `C`.
pub const fn batch_codec<C: Codec>() -> BatchCodecV1 {
    BatchCodecV1 { chunks: C::BATCH, compress: compress_batch::<C>, decompress: decompress_batch::<C> }
}

unsafe extern "C" fn compress_batch<C: Codec>(
    instance: *mut c_void,
    items: RSliceMut<'_, BatchItemV1<'_>>,
    text: RSliceMut<'_, u8>,
) -> Status {
    // SAFETY: the caller passes a live instance made by `open::<C>`, used by nobody else meanwhile.
    let codec = unsafe { &mut *instance.cast::<C>() };
    on_items(items, text, |items| codec.compress_batch(items))
}

unsafe extern "C" fn decompress_batch<C: Codec>(
    instance: *mut c_void,
    items: RSliceMut<'_, BatchItemV1<'_>>,
    text: RSliceMut<'_, u8>,
) -> Status {
    // SAFETY: as in `compress_batch`.
    let codec = unsafe { &mut *instance.cast::<C>() };
    on_items(items, text, |items| codec.decompress_batch(items))
}

fn on_items(
    mut items: RSliceMut<'_, BatchItemV1<'_>>,
    mut text: RSliceMut<'_, u8>,
    work: impl FnOnce(&mut [BatchItem<'_>]) -> Result<()>,
) -> Status {
    let mut first_failure = None;
    let status = guard(RSliceMut::from_mut_slice(text.as_mut_slice()), || {
        let mut done: Vec<BatchItem<'_>> = items
            .as_mut_slice()
            .iter_mut()
            .map(|item| BatchItem::new(item.src.as_slice(), item.dst.as_mut_slice()))
            .collect();
        work(&mut done)?;
        let results: Vec<Result<usize>> = done.into_iter().map(|item| item.result).collect();
        for (item, result) in items.as_mut_slice().iter_mut().zip(results) {
            (item.written, item.status) = match result {
                Ok(written) => (written, Status::OK),
                Err(e) => {
                    let status = e.kind.into();
                    first_failure.get_or_insert(e);
                    (0, status)
                }
            };
        }
        Ok(())
    });
    if let (Status::OK, Some(e)) = (status, first_failure) {
        write_text(text, &e.message);
    }
    status
}

extern "C" fn stream_supports<L: CodecList>(codec: usize) -> bool {
    L::DECODERS.get(codec).is_some_and(Option::is_some)
}

type OpenDecoder = Box<dyn Read + Send>;

unsafe extern "C" fn stream_open<L: CodecList>(
    codec: usize,
    input: InputV1,
    memory_bytes: u64,
    decoder: &mut *mut c_void,
    text: RSliceMut<'_, u8>,
) -> Status {
    guard(text, || {
        let open = L::DECODERS.get(codec).copied().flatten();
        let open = open.ok_or(ErrorKind::Unsupported)?;
        let source: Input = Box::new(HostInput(input));
        let reader: OpenDecoder = open(source, DecoderLimits::new(memory_bytes))?;
        *decoder = Box::into_raw(Box::new(reader)).cast();
        Ok(())
    })
}

unsafe extern "C" fn stream_read(
    decoder: *mut c_void,
    mut dst: RSliceMut<'_, u8>,
    written: &mut usize,
    text: RSliceMut<'_, u8>,
) -> Status {
    // SAFETY: the caller passes a live decoder made by `stream_open`, used by nobody else meanwhile.
    let reader = unsafe { &mut *decoder.cast::<OpenDecoder>() };
    guard(text, || {
        loop {
            match reader.read(dst.as_mut_slice()) {
                Ok(n) => {
                    *written = n;
                    return Ok(());
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
    })
}

unsafe extern "C" fn stream_drop(decoder: *mut c_void) {
    // SAFETY: the caller gives up a decoder made by `stream_open`.
    let reader = unsafe { Box::from_raw(decoder.cast::<OpenDecoder>()) };
    quiet(|| {
        drop(reader);
        Ok(())
    });
}

/// The host's input as a `Read` for the author's decoder.
struct HostInput(InputV1);

// SAFETY: the host promises that `context` may be used from any thread, one at a time; the decoder
// that owns this value is `Send`, never shared.
unsafe impl Send for HostInput {}

impl Read for HostInput {
    fn read(&mut self, dst: &mut [u8]) -> io::Result<usize> {
        let mut n = 0;
        let room = dst.len();
        // SAFETY: the host keeps `context` alive until the decoder is dropped.
        let status = unsafe { (self.0.read)(self.0.context, RSliceMut::from_mut_slice(dst), &mut n) };
        if status == Status::OK { Ok(n.min(room)) } else { Err(io::Error::other(READ_FAILED)) }
    }
}

/// Message of the error a decoder sees when the host's input failed; the host has the real one.
const READ_FAILED: &str = "the host could not read the input";
