//! The host's half: safe calls on a plugin's tables.
//!
//! What a safe call cannot check (that the plugin keeps to its buffers) is what conformance proves, in a child process,
//! before any of this is used on a host's data. What can be checked is checked here on every call.

use super::{
    ABI_VERSION, BATCH, BatchCallV1, BatchCodecV1, BatchItemV1, BatchRef, CallV1, CodecV1, ExtensionRef,
    InputV1, OptionV1, PluginV1, ROOT_SYMBOL, RootRef, STREAM, StreamRef, read_text,
};
use crate::{BatchItem, Descriptor, Error, ErrorKind, Manifest, Options, Result, Status, Unavailable};
use abi_stable::{
    StableAbi,
    abi_stability::check_layout_compatibility,
    library::{AbiHeaderRef, LibHeader},
    prefix_type::{PrefixRef, PrefixRefTrait},
    std_types::{RSlice, RSliceMut},
};
use std::{
    ffi::c_void,
    fmt,
    io::{self, Read},
    ptr::NonNull,
};

/// Bytes of a message buffer on the stack.
const TEXT_BYTES: usize = 512;

/// A plugin whose layout has been checked. Libraries are never unloaded, so it is `'static`.
#[derive(Clone, Copy)]
pub struct Plugin {
    table: &'static PluginV1,
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Plugin").field(&self.manifest().id).finish()
    }
}

impl Plugin {
    /// Reads the root module of an opened library; `symbol` looks a symbol of it up.
    ///
    /// # Errors
    /// A sentence that says why the library does not fit: no root symbol, another abi_stable, another
    /// major of the interface, a layout that differs, a root function that failed.
    ///
    /// # Safety
    /// `symbol` must return the address of the named symbol in a library that is never unloaded.
    pub unsafe fn from_library(symbol: impl FnOnce(&str) -> Option<NonNull<c_void>>) -> Result<Self, String> {
        let address = symbol(ROOT_SYMBOL).ok_or_else(|| format!("no symbol {ROOT_SYMBOL}: not a plugin"))?;
        // SAFETY: what stands at this symbol starts with an `AbiHeader`, whose magic `upgrade` checks before
        // anything behind it is read; `AbiHeaderRef` is a transparent reference to it. The library stays loaded
        // (caller).
        let header = unsafe { std::mem::transmute::<NonNull<c_void>, AbiHeaderRef>(address) };
        Self::from_header(header.upgrade().map_err(|e| one_line(&e))?)
    }

    /// Checks the interface of a library by its header, and takes its plugin table.
    ///
    /// # Errors
    /// As [`from_library`](Self::from_library).
    pub fn from_header(library: &'static LibHeader) -> Result<Self, String> {
        if library.layout().is_none() {
            return Err("exported without layout information".into());
        }
        let root: RootRef = library.init_root_module().map_err(|e| one_line(&e))?;
        Self::from_table(root.v1())
    }

    /// A plugin that lives in this program.
    ///
    /// # Errors
    /// When the table is of another version of the interface.
    pub fn from_table(table: &'static PluginV1) -> Result<Self, String> {
        if table.abi == ABI_VERSION {
            return Ok(Self { table });
        }
        Err(format!("plugin table of version {}; this host reads {ABI_VERSION}", table.abi))
    }

    /// Who the plugin is.
    pub fn manifest(&self) -> &'static Manifest {
        &self.table.manifest
    }

    /// Its codecs, in the plugin's order.
    pub fn codecs(&self) -> impl ExactSizeIterator<Item = Codec> + use<> {
        let plugin = *self;
        (0..self.table.codecs.len()).map(move |index| Codec { plugin, index })
    }

    /// The codec at `index` of [`codecs`](Self::codecs).
    pub fn codec(&self, index: usize) -> Option<Codec> {
        (index < self.table.codecs.len()).then_some(Codec { plugin: *self, index })
    }

    /// The extension `name`, if the plugin has it with exactly the layout of `T`.
    ///
    /// # Errors
    /// When the plugin has a table of another layout under that name.
    pub fn extension<T>(&self, name: &str) -> Result<Option<T>, String>
    where
        T: PrefixRefTrait + StableAbi,
    {
        let found: Option<ExtensionRef> = (self.table.extension)(name.into()).into_option();
        let Some(ExtensionRef { table, layout }) = found else { return Ok(None) };
        check_layout_compatibility(T::LAYOUT, layout).into_result().map_err(|e| one_line(&e))?;
        // SAFETY: the layouts agree, so the erased prefix is that of `T`.
        let table: PrefixRef<T::PrefixFields> = unsafe { table.cast() };
        Ok(Some(T::from_prefix_ref(table)))
    }
}

/// One codec of a plugin.
#[derive(Clone, Copy, Debug)]
pub struct Codec {
    plugin: Plugin,
    index: usize,
}

impl Codec {
    fn table(&self) -> &'static CodecV1 {
        &self.plugin.table.codecs.as_slice()[self.index]
    }

    /// Position in [`Plugin::codecs`].
    pub fn index(&self) -> usize {
        self.index
    }

    /// The plugin it belongs to.
    pub fn plugin(&self) -> Plugin {
        self.plugin
    }

    /// What the codec is.
    pub fn descriptor(&self) -> &'static Descriptor {
        &self.table().descriptor
    }

    /// Whether the codec can work here: the device's identity, or what is missing.
    ///
    /// # Errors
    /// When the probe itself fails, by a panic for example.
    pub fn probe(&self) -> Result<Result<String, Unavailable>> {
        let mut text = [0; TEXT_BYTES];
        let status = (self.table().probe)(RSliceMut::from_mut_slice(&mut text));
        match check(status, &text) {
            Ok(()) => Ok(Ok(read_text(&text))),
            Err(e) if e.kind == ErrorKind::Unsupported => {
                let (reason, remedy) = e.message.split_once('\n').unwrap_or((&e.message, ""));
                Ok(Err(Unavailable { reason: reason.into(), remedy: remedy.into() }))
            }
            Err(e) => Err(e),
        }
    }

    /// Opens an instance.
    ///
    /// # Errors
    /// The codec's own; [`ErrorKind::Unsupported`] when `level` is outside the descriptor's range.
    pub fn open(&self, level: i32, options: &Options) -> Result<Instance> {
        let levels = self.descriptor().levels;
        if !(levels.min..=levels.max).contains(&level) {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("level {level} is outside {}..={}", levels.min, levels.max),
            ));
        }
        let values: Vec<OptionV1<'_>> =
            options.iter().map(|(name, value)| OptionV1 { name: name.into(), value }).collect();
        let mut pointer = std::ptr::null_mut();
        let mut text = [0; TEXT_BYTES];
        let status = (self.table().open)(
            level,
            RSlice::from_slice(&values),
            &mut pointer,
            RSliceMut::from_mut_slice(&mut text),
        );
        check(status, &text)?;
        let pointer = NonNull::new(pointer)
            .ok_or_else(|| Error::internal("the plugin opened no instance and reported no error"))?;
        Ok(Instance { table: self.table(), pointer, poisoned: false })
    }

    /// Size the frames in `src` declare, in bytes, if they tell. Not to be trusted.
    ///
    /// # Errors
    /// [`ErrorKind::Panicked`] and the like; frames that do not tell are no error.
    pub fn decompressed_len(&self, src: &[u8]) -> Result<Option<u64>> {
        let mut bytes = 0;
        let status = (self.table().decompressed_len)(RSlice::from_slice(src), &mut bytes);
        match check(status, &[]) {
            Ok(()) => Ok(Some(bytes)),
            Err(e) if e.kind == ErrorKind::Unsupported => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Memory, in bytes, an instance holds for chunks of `len` bytes; 0 if unknown.
    ///
    /// # Errors
    /// [`ErrorKind::Panicked`].
    pub fn scratch_bytes(&self, level: i32, len: usize) -> Result<u64> {
        let mut bytes = 0;
        check((self.table().scratch_bytes)(level, len, &mut bytes), &[])?;
        Ok(bytes)
    }

    /// How the codec works on several chunks in one call (`batch/1`), if it does.
    pub fn batch(&self) -> Option<Batch> {
        let table = self.plugin.extension::<BatchRef>(BATCH).ok().flatten()?;
        let functions = (table.codec())(self.index).into_option()?;
        (functions.chunks > 1).then_some(Batch { codec: self.table(), functions })
    }

    fn stream_table(&self) -> Option<StreamRef> {
        let table = self.plugin.extension::<StreamRef>(STREAM).ok().flatten()?;
        (table.supports())(self.index).then_some(table)
    }

    /// Whether the codec decodes streams in bounded memory (`stream/1`).
    pub fn streams(&self) -> bool {
        self.stream_table().is_some()
    }

    /// A reader of the decoded bytes of all frames in `input`.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] without `stream/1`, and the codec's own.
    pub fn decoder<R: Read + Send + 'static>(&self, input: R, memory_bytes: u64) -> Result<StreamDecoder> {
        let table = self.stream_table().ok_or(ErrorKind::Unsupported)?;
        let state = OwnedInput::new(Box::new(input));
        let input = InputV1 { context: state.0.as_ptr().cast(), read: read_input };
        let mut pointer = std::ptr::null_mut();
        let mut text = [0; TEXT_BYTES];
        // SAFETY: `state` keeps its address, and is dropped after the decoder: here, or by `StreamDecoder`.
        let status = unsafe {
            (table.open())(
                self.index,
                input,
                memory_bytes,
                &mut pointer,
                RSliceMut::from_mut_slice(&mut text),
            )
        };
        if let (Err(_), Some(e)) = (check(status, &text), state.take_failure()) {
            return Err(Error::new(ErrorKind::Read, e.to_string()));
        }
        check(status, &text)?;
        let pointer = NonNull::new(pointer)
            .ok_or_else(|| Error::internal("the plugin opened no decoder and reported no error"))?;
        Ok(StreamDecoder { table, pointer, state, last_error: None })
    }
}

/// How a codec works on several chunks in one call.
#[derive(Clone, Copy)]
pub struct Batch {
    codec: &'static CodecV1,
    functions: BatchCodecV1,
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("chunks", &self.functions.chunks).finish_non_exhaustive()
    }
}

impl Batch {
    /// How many chunks the codec wants in one call; at least 2.
    pub fn chunks(&self) -> usize {
        self.functions.chunks
    }
}

/// An open codec at one level. After a panic it refuses further calls.
pub struct Instance {
    table: &'static CodecV1,
    pointer: NonNull<c_void>,
    poisoned: bool,
}

// SAFETY: `Codec: Send` on the author's side; an instance is used through `&mut self` only, but for
// `bound`, which is called with `&self` and so never concurrently with another call on the same thread
// of control (`Instance` is not `Sync`).
unsafe impl Send for Instance {}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Instance").field(&self.table.descriptor.implementation()).finish()
    }
}

impl Instance {
    /// Bytes [`compress`](Self::compress) may need for `len` bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Panicked`].
    pub fn compress_bound(&self, len: usize) -> Result<usize> {
        let mut bytes = 0;
        // SAFETY: `pointer` is live until `drop`.
        let status = unsafe { (self.table.bound)(self.pointer.as_ptr(), len, &mut bytes) };
        check(status, &[])?;
        Ok(bytes)
    }

    /// Compresses all of `src` into `dst`; the bytes written.
    ///
    /// # Errors
    /// The codec's own, and [`ErrorKind::Internal`] when it claims to have written more than `dst` holds.
    pub fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        self.call(self.table.compress, src, dst)
    }

    /// Decompresses all frames of `src` into `dst`; the bytes written.
    ///
    /// # Errors
    /// As [`compress`](Self::compress).
    pub fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        self.call(self.table.decompress, src, dst)
    }

    /// Compresses each of `items`, as [`compress`](Self::compress) would; `batch` is that of the instance's codec.
    ///
    /// # Errors
    /// Of the whole call: then no item's result counts.
    pub fn compress_batch(&mut self, batch: &Batch, items: &mut [BatchItem<'_>]) -> Result<()> {
        self.call_batch(batch, batch.functions.compress, items)
    }

    /// Decompresses each of `items`; otherwise as [`compress_batch`](Self::compress_batch).
    ///
    /// # Errors
    /// As there.
    pub fn decompress_batch(&mut self, batch: &Batch, items: &mut [BatchItem<'_>]) -> Result<()> {
        self.call_batch(batch, batch.functions.decompress, items)
    }

    fn call_batch(
        &mut self,
        batch: &Batch,
        function: BatchCallV1,
        items: &mut [BatchItem<'_>],
    ) -> Result<()> {
        if !std::ptr::eq(batch.codec, self.table) {
            return Err(Error::internal("a batch of another codec"));
        }
        self.refuse_if_poisoned()?;
        let mut text = [0; TEXT_BYTES];
        let mut tables: Vec<BatchItemV1<'_>> = items
            .iter_mut()
            .map(|item| BatchItemV1 {
                src: RSlice::from_slice(item.src),
                dst: RSliceMut::from_mut_slice(item.dst),
                written: 0,
                status: ErrorKind::Internal.into(),
            })
            .collect();
        // SAFETY: `pointer` is live, of the codec that `function` belongs to (compared above), and `&mut self` makes this the
        // only call on it.
        let status = unsafe {
            function(
                self.pointer.as_ptr(),
                RSliceMut::from_mut_slice(&mut tables),
                RSliceMut::from_mut_slice(&mut text),
            )
        };
        let done: Vec<(usize, Status)> = tables.iter().map(|item| (item.written, item.status)).collect();
        self.poisoned = status != Status::OK && ErrorKind::from(status) == ErrorKind::Panicked;
        check(status, &text)?;
        for (item, (written, status)) in items.iter_mut().zip(done) {
            item.result = check(status, &text).and_then(|()| claimed(written, item.dst.len()));
        }
        Ok(())
    }

    fn refuse_if_poisoned(&self) -> Result<()> {
        let panicked = || Error::new(ErrorKind::Panicked, "the instance panicked before");
        if self.poisoned { Err(panicked()) } else { Ok(()) }
    }

    /// Whether a call panicked, so that the instance answers no more.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }

    fn call(&mut self, function: CallV1, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        self.refuse_if_poisoned()?;
        let room = dst.len();
        let mut written = 0;
        let mut text = [0; TEXT_BYTES];
        // SAFETY: `pointer` is live, and `&mut self` makes this the only call on it.
        let status = unsafe {
            function(
                self.pointer.as_ptr(),
                RSlice::from_slice(src),
                RSliceMut::from_mut_slice(dst),
                &mut written,
                RSliceMut::from_mut_slice(&mut text),
            )
        };
        if status != Status::OK {
            self.poisoned = ErrorKind::from(status) == ErrorKind::Panicked;
            return check(status, &text).map(|()| 0);
        }
        claimed(written, room)
    }
}

/// The bytes a plugin says it has written, which cannot be more than there was room for.
fn claimed(written: usize, room: usize) -> Result<usize> {
    let lie = || Error::internal(format!("the plugin claims {written} bytes in a buffer of {room}"));
    if written <= room { Ok(written) } else { Err(lie()) }
}

impl Instance {
    /// Ends the instance and tells how that went; dropping it does the same in silence.
    ///
    /// # Errors
    /// [`ErrorKind::Panicked`] when the codec's `Drop` panicked.
    pub fn close(self) -> Result<()> {
        check(std::mem::ManuallyDrop::new(self).end(), &[])
    }

    fn end(&mut self) -> Status {
        // SAFETY: `pointer` is live; the callers, `close` and `drop`, are each the last use of the instance.
        unsafe { (self.table.drop)(self.pointer.as_ptr()) }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.end();
    }
}

/// A `Read` over the decoded bytes of a stream. Errors of the input come back unchanged.
pub struct StreamDecoder {
    table: StreamRef,
    pointer: NonNull<c_void>,
    /// Dropped after `drop` has ended the decoder.
    state: OwnedInput,
    last_error: Option<Error>,
}

// SAFETY: the decoder is `Send` on the author's side, and the input is `Send` here.
unsafe impl Send for StreamDecoder {}

impl fmt::Debug for StreamDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamDecoder").field("last_error", &self.last_error).finish()
    }
}

impl StreamDecoder {
    /// The codec's own error, when `read` failed by it and not by the input.
    pub fn codec_error(&self) -> Option<&Error> {
        self.last_error.as_ref()
    }
}

impl Read for StreamDecoder {
    fn read(&mut self, dst: &mut [u8]) -> io::Result<usize> {
        if dst.is_empty() {
            return Ok(0);
        }
        if let Some(e) = &self.last_error {
            return Err(e.clone().into());
        }
        let room = dst.len();
        let mut written = 0;
        let mut text = [0; TEXT_BYTES];
        // SAFETY: `pointer` is live, and `&mut self` makes this the only call on it.
        let status = unsafe {
            (self.table.read())(
                self.pointer.as_ptr(),
                RSliceMut::from_mut_slice(dst),
                &mut written,
                RSliceMut::from_mut_slice(&mut text),
            )
        };
        if let Some(e) = self.state.take_failure() {
            return Err(e);
        }
        let outcome = check(status, &text).and_then(|()| claimed(written, room));
        outcome.map_err(|e| {
            self.last_error = Some(e.clone());
            e.into()
        })
    }
}

impl Drop for StreamDecoder {
    fn drop(&mut self) {
        // SAFETY: `pointer` is live and given up here; `state` is dropped after this.
        unsafe { (self.table.drop())(self.pointer.as_ptr()) }
    }
}

/// The host's reader, and the error it gave, which the codec must not replace with its own.
struct InputState {
    reader: Box<dyn Read + Send>,
    failed: Option<io::Error>,
}

/// An [`InputState`] that a decoder points to: reached by this pointer alone, so that nothing here invalidates the
/// decoder's.
struct OwnedInput(NonNull<InputState>);

impl OwnedInput {
    fn new(reader: Box<dyn Read + Send>) -> Self {
        let state = Box::new(InputState { reader, failed: None });
        Self(NonNull::from(Box::leak(state)))
    }

    fn take_failure(&self) -> Option<io::Error> {
        // SAFETY: live until `drop`; no call of the decoder, its only other user, is in progress while the host is here.
        let state = unsafe { &mut *self.0.as_ptr() };
        state.failed.take()
    }
}

impl Drop for OwnedInput {
    fn drop(&mut self) {
        // SAFETY: from `Box::leak`, and the decoder that used it has ended.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

unsafe extern "C" fn read_input(
    context: *mut c_void,
    mut dst: RSliceMut<'_, u8>,
    read_bytes: &mut usize,
) -> Status {
    // SAFETY: `context` is the `InputState` that `StreamDecoder` owns, and only its decoder calls this.
    let state = unsafe { &mut *context.cast::<InputState>() };
    let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        loop {
            match state.reader.read(dst.as_mut_slice()) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }));
    match read.unwrap_or_else(|_| Err(io::Error::other("the input's reader panicked"))) {
        Ok(n) => {
            *read_bytes = n;
            Status::OK
        }
        Err(e) => {
            state.failed = Some(e);
            ErrorKind::Read.into()
        }
    }
}

fn check(status: Status, text: &[u8]) -> Result<()> {
    if status == Status::OK {
        return Ok(());
    }
    Err(Error::new(status.into(), read_text(text)))
}

/// abi_stable's errors are pages long; what went wrong stands behind the first `Error:`, or at the start.
fn one_line(e: &impl fmt::Display) -> String {
    let text = e.to_string();
    let cause = text.find("Error:").map_or(&text[..], |at| &text[at + "Error:".len()..]);
    let lines = cause.lines().map(|l| l.trim().trim_end_matches([':', ';'])).filter(|l| !l.is_empty());
    lines.take(4).collect::<Vec<_>>().join("; ")
}
