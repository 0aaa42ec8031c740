//! The interface between ClipsMaster and its compression plugins, and the guide for their authors.
//!
//! A plugin is one shared library (`crate-type = ["cdylib"]`) with one or more codecs. The host finds
//! it in a plugins folder, proves it in a separate process, measures it, ranks it among the
//! implementations of the same algorithm, and then calls it. A plugin is *bytes in, bytes out*: it
//! knows no configuration, opens no files of its own accord, and never meets another plugin.
//!
//! # What you can rely on
//!
//! - Buffers are the host's. They do not overlap, and an empty one is valid.
//! - One instance is used by one thread at a time. Several instances work at once unless the
//!   descriptor says [`Threads::SERIALISED`].
//! - Instances are kept and called many times: what you put into `Self` is set up once.
//! - A panic in your code becomes an error; the instance is dropped and the host goes on.
//! - The library is never unloaded.
//!
//! # What the host relies on
//!
//! [`Codec`] lists it, and the host proves it before first use: sizes from 0 to many MiB, random and compressible data,
//! destinations that are too small, truncated and damaged frames, frames back to back, several
//! instances at once, and decoding what the other implementations of your algorithm write. Run the same
//! checks yourself, with a report: `clipsmaster-host validate target/release/libmy_plugin.so`.
//!
//! # A codec in 15 minutes
//!
//! 1. Copy `plugins/store`, or start a crate of your own anywhere:
//!
//!    ```toml
//!    [lib]
//!    crate-type = ["cdylib"]
//!
//!    [dependencies]
//!    clipsmaster-plugin-api = "1"
//!    ```
//!
//! 2. Fill the descriptor and the functions. This codec is complete:
//!
//!    ```
//!    #![forbid(unsafe_code)]
//!    use clipsmaster_plugin_api::{Codec, Descriptor, ErrorKind, Options, Result};
//!
//!    struct Store;
//!
//!    impl Codec for Store {
//!        const DESCRIPTOR: Descriptor = Descriptor::new("store", "copy");
//!
//!        fn open(_level: i32, _options: &Options) -> Result<Self> {
//!            Ok(Self)
//!        }
//!        fn compress_bound(&self, len: usize) -> usize {
//!            len
//!        }
//!        fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
//!            let dst = dst.get_mut(..src.len()).ok_or(ErrorKind::DestinationTooSmall)?;
//!            dst.copy_from_slice(src);
//!            Ok(src.len())
//!        }
//!        fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
//!            self.compress(src, dst)
//!        }
//!    }
//!    # mod export { use super::Store;
//!    clipsmaster_plugin_api::export_plugin! { id: "store", codecs: [Store] }
//!    # }
//!    # fn main() {}
//!    ```
//!
//! 3. Build it in release mode, copy the `.so` into a plugins folder
//!    (`~/.local/share/clipsmaster/plugins`), and run `clipsmaster-host list-plugins`.
//!
//! # Worth adding
//!
//! - [`Descriptor::file`]: with the extension and the magic bytes of your format, `decompress`
//!   recognises files of it.
//! - [`Codec::DECODER`]: without it, a frame that does not fit into memory cannot be decoded.
//! - [`Codec::decompressed_len`]: saves the host a guess.
//! - [`Codec::probe`]: an accelerator says here what is missing and how to get it.
//! - [`Codec::BATCH`]: a device that one chunk does not fill gets several in one call.
//! - [`OptionSpec::skip_checksum`]: the host mostly compares what comes out by a checksum of its own, and need not wait for the
//!   frame's.
//! - [`OptionSpec::whole_bytes`]: a codec that works otherwise on little data than on much is judged by samples as it does on much.
//! - [`Codec::scratch_bytes`]: lets the host fit the number of workers to its memory limit.
//!
//! # Traps
//!
//! - Build with `panic = "unwind"` (the default): an abort cannot be caught.
//! - Readers of `flate2`, `bzip2` and `liblzma` stop after the first member: use the `Multi`
//!   variants. Check that input cut exactly at a block boundary is an error, not a short result.
//! - Do not keep per-call buffers in statics; do not print.
//!
//! # Stability
//!
//! Interface version 1 is frozen. What an author can rely on:
//!
//! - A library built against any 1.x of this crate loads in every host of major version 1, older or newer. The tables of [`abi`] never
//!   change, the checks of the project load plugins that were built on the day of the freeze.
//! - Additions arrive as extensions that are looked up by name; one that the other side does not know is absent. `stream/1` and
//!   `batch/1` are as frozen as the tables.
//! - Sets are open where they may grow: hardware names, algorithms, [`Status`] values, [`Threads`]. Hosts treat what they do not know as the most
//!   cautious value.
//! - The safe half (traits, functions, constants) follows semantic versioning: a plugin's source that builds with 1.x builds with later 1.y.
//!   What is not documented (`__private`, names in macros' expansions) may change.
//! - The layout is checked at load, types compare by name and package: build against this crate, do not copy its types.

mod codec;
mod descriptor;
mod error;
mod export;

pub mod abi;

pub use abi_stable;
pub use codec::{BatchItem, Codec, Decoder, DecoderLimits, Input, Options, Unavailable, read_to_end_into};
pub use descriptor::{
    Descriptor, Levels, Manifest, OptionSpec, SKIP_CHECKSUM, Threads, WHOLE_BYTES, hardware,
};
pub use error::{Error, ErrorKind, Result, Status};
#[doc(hidden)]
pub use export::private as __private;
