//! The binary interface, version 1: plain `repr(C)` tables behind a one-field prefix root.
//!
//! abi_stable checks the layout of everything reachable from [`Root`] when a library is loaded;
//! calls then go through the function pointers here. Nothing is allocated on one side and freed on
//! the other, no Rust enum, `String` or trait object crosses, and no call unwinds.
//!
//! Growth goes through [`PluginV1::extension`], never through a new field: a host asks for an
//! extension by name, gets a table together with its layout, and checks that layout before use. A
//! name unknown to either side is simply absent.
//!
//! [`export`] is the author's half (safe trait to tables), [`import`] the host's (tables to safe calls).
//! This module tree is the only place of the crate where `unsafe` is allowed.

#![expect(unsafe_code, reason = "the boundary itself; every block states its contract")]
// Derives of abi_stable generate items without docs and with wider visibility than needed.
#![allow(missing_docs, reason = "abi_stable's derives generate undocumented public items")]
#![allow(missing_debug_implementations, reason = "tables of function pointers have nothing to show")]

pub mod export;
pub mod import;

use crate::{Descriptor, Manifest, Status};
use abi_stable::{
    StableAbi,
    library::RootModule,
    marker_type::ErasedPrefix,
    package_version_strings,
    prefix_type::PrefixRef,
    sabi_types::VersionStrings,
    std_types::{ROption, RSlice, RSliceMut, RStr},
    type_layout::TypeLayout,
};
use std::ffi::c_void;

/// Value of [`PluginV1::abi`] in this version.
pub const ABI_VERSION: u32 = 1;

/// Name of the extension whose table is [`StreamV1`].
pub const STREAM: &str = "stream/1";

/// Name of the extension whose table is [`BatchV1`].
pub const BATCH: &str = "batch/1";

/// Symbol by which a library is known to be a plugin.
pub const ROOT_SYMBOL: &str = abi_stable::library::ROOT_MODULE_LOADER_NAME;

/// ELF section in which `export_plugin!` leaves the plugin's identity, readable without running code.
/// Its text is `clipsmaster-plugin\n<id>\n<version>\n`.
pub const MANIFEST_SECTION: &str = ".clipsmaster";

/// What a plugin library exports: one field, for ever.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = RootRef)))]
#[sabi(missing_field(panic))]
pub struct Root {
    #[sabi(last_prefix_field)]
    pub v1: &'static PluginV1,
}

impl RootModule for RootRef {
    abi_stable::declare_root_module_statics! {RootRef}
    const BASE_NAME: &'static str = "clipsmaster_plugin";
    const NAME: &'static str = "clipsmaster_plugin";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}

/// A plugin: who it is, and its codecs.
#[repr(C)]
#[derive(StableAbi)]
pub struct PluginV1 {
    /// [`ABI_VERSION`].
    pub abi: u32,
    pub manifest: Manifest,
    pub codecs: RSlice<'static, CodecV1>,
    /// The extension of that name, if the plugin has it.
    pub extension: extern "C" fn(RStr<'_>) -> ROption<ExtensionRef>,
}

/// A table of an extension, and the layout to check before it is used.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct ExtensionRef {
    pub table: PrefixRef<ErasedPrefix>,
    pub layout: &'static TypeLayout,
}

/// A value for an option of the descriptor.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct OptionV1<'a> {
    pub name: RStr<'a>,
    pub value: i64,
}

/// A codec: its descriptor and the functions on its instances.
///
/// Every `text` buffer belongs to the caller, is at least one byte long, and receives a message that ends with a NUL
/// byte (cut to fit). Instances are opaque; all functions taking one need a live pointer from `open`.
#[repr(C)]
#[derive(StableAbi)]
pub struct CodecV1 {
    pub descriptor: Descriptor,
    /// Whether the codec can work here. `OK`: `text` is the device's identity. Otherwise `text` is
    /// the reason, a line feed, and the remedy.
    pub probe: extern "C" fn(text: RSliceMut<'_, u8>) -> Status,
    /// Makes an instance and stores it in `instance`.
    pub open: extern "C" fn(
        level: i32,
        options: RSlice<'_, OptionV1<'_>>,
        instance: &mut *mut c_void,
        text: RSliceMut<'_, u8>,
    ) -> Status,
    /// Stores in `bytes` what `compress` may need for `len` bytes.
    pub bound: unsafe extern "C" fn(instance: *const c_void, len: usize, bytes: &mut usize) -> Status,
    /// All of `src` into `dst`; the bytes written go into `written`. A [`CallV1`].
    pub compress: unsafe extern "C" fn(
        instance: *mut c_void,
        src: RSlice<'_, u8>,
        dst: RSliceMut<'_, u8>,
        written: &mut usize,
        text: RSliceMut<'_, u8>,
    ) -> Status,
    /// As `compress`, the other way.
    pub decompress: unsafe extern "C" fn(
        instance: *mut c_void,
        src: RSlice<'_, u8>,
        dst: RSliceMut<'_, u8>,
        written: &mut usize,
        text: RSliceMut<'_, u8>,
    ) -> Status,
    /// Stores in `bytes` the size the frames in `src` declare; `UNSUPPORTED` when they do not tell.
    pub decompressed_len: extern "C" fn(src: RSlice<'_, u8>, bytes: &mut u64) -> Status,
    /// Stores in `bytes` the memory an instance holds for chunks of `len` bytes; 0 if unknown.
    pub scratch_bytes: extern "C" fn(level: i32, len: usize, bytes: &mut u64) -> Status,
    /// Ends an instance, whatever the status says.
    pub drop: unsafe extern "C" fn(instance: *mut c_void) -> Status,
}

/// Type of [`CodecV1::compress`] and [`CodecV1::decompress`] (abi_stable's derive reads no alias).
pub type CallV1 = unsafe extern "C" fn(
    instance: *mut c_void,
    src: RSlice<'_, u8>,
    dst: RSliceMut<'_, u8>,
    written: &mut usize,
    text: RSliceMut<'_, u8>,
) -> Status;

/// `stream/1`: pull decoding of streams of any length in bounded memory.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = StreamRef)))]
#[sabi(missing_field(panic))]
pub struct StreamV1 {
    /// Whether the codec at that index of [`PluginV1::codecs`] has a decoder.
    pub supports: extern "C" fn(codec: usize) -> bool,
    /// Opens a decoder over `input`, which must outlive it.
    pub open: unsafe extern "C" fn(
        codec: usize,
        input: InputV1,
        memory_bytes: u64,
        decoder: &mut *mut c_void,
        text: RSliceMut<'_, u8>,
    ) -> Status,
    /// Decodes up to `dst.len()` bytes; `written` is 0 only at the end of the stream.
    pub read: unsafe extern "C" fn(
        decoder: *mut c_void,
        dst: RSliceMut<'_, u8>,
        written: &mut usize,
        text: RSliceMut<'_, u8>,
    ) -> Status,
    /// Ends a decoder; `input` is not used afterwards.
    #[sabi(last_prefix_field)]
    pub drop: unsafe extern "C" fn(decoder: *mut c_void),
}

/// The host's source of compressed bytes: `read` fills part of `dst` and stores how much in
/// `read_bytes`, 0 at the end. It may be called from one thread at a time.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct InputV1 {
    pub context: *mut c_void,
    pub read:
        unsafe extern "C" fn(context: *mut c_void, dst: RSliceMut<'_, u8>, read_bytes: &mut usize) -> Status,
}

/// `batch/1`: several chunks in one call.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = BatchRef)))]
#[sabi(missing_field(panic))]
pub struct BatchV1 {
    /// How the codec at that index of [`PluginV1::codecs`] works on batches, if it does.
    #[sabi(last_prefix_field)]
    pub codec: extern "C" fn(codec: usize) -> ROption<BatchCodecV1>,
}

/// A codec's functions on batches; instances are those of [`CodecV1::open`].
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct BatchCodecV1 {
    /// How many chunks it wants in one call, at least 2.
    pub chunks: usize,
    /// As [`CodecV1::compress`] on each item. `OK`: each has its own status, and `text` the message of the first that is not `OK`.
    pub compress: unsafe extern "C" fn(
        instance: *mut c_void,
        items: RSliceMut<'_, BatchItemV1<'_>>,
        text: RSliceMut<'_, u8>,
    ) -> Status,
    /// As `compress`, the other way.
    pub decompress: unsafe extern "C" fn(
        instance: *mut c_void,
        items: RSliceMut<'_, BatchItemV1<'_>>,
        text: RSliceMut<'_, u8>,
    ) -> Status,
}

/// Type of [`BatchCodecV1::compress`] and [`BatchCodecV1::decompress`].
pub type BatchCallV1 = unsafe extern "C" fn(
    instance: *mut c_void,
    items: RSliceMut<'_, BatchItemV1<'_>>,
    text: RSliceMut<'_, u8>,
) -> Status;

/// One chunk of a batch.
#[repr(C)]
#[derive(StableAbi)]
pub struct BatchItemV1<'a> {
    pub src: RSlice<'a, u8>,
    pub dst: RSliceMut<'a, u8>,
    /// Bytes written to `dst`, where `status` is `OK`.
    pub written: usize,
    pub status: Status,
}

/// Copies `message` into `text`, cut at a character boundary, and ends it with a NUL byte.
fn write_text(mut text: RSliceMut<'_, u8>, message: &str) {
    let buffer = text.as_mut_slice();
    let Some(room) = buffer.len().checked_sub(1) else { return };
    let mut len = message.len().min(room);
    while !message.is_char_boundary(len) {
        len -= 1;
    }
    buffer[..len].copy_from_slice(&message.as_bytes()[..len]);
    buffer[len] = 0;
}

/// The text before the NUL byte, with what is not UTF-8 replaced.
fn read_text(buffer: &[u8]) -> String {
    let len = buffer.iter().position(|b| *b == 0).unwrap_or(buffer.len());
    String::from_utf8_lossy(&buffer[..len]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_at_a_character_and_terminated() {
        let mut buffer = [0xff; 4];
        write_text(RSliceMut::from_mut_slice(&mut buffer), "aéé");
        assert_eq!(read_text(&buffer), "aé");
        write_text(RSliceMut::from_mut_slice(&mut buffer), "aaé");
        assert_eq!(read_text(&buffer), "aa");
        write_text(RSliceMut::from_mut_slice(&mut []), "no room");
    }
}
