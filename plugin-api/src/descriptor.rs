//! What a plugin says about itself: data only, readable before any codec is opened.
//!
//! The types are both the author's and the boundary's (`repr(C)`, checked by abi_stable); authors
//! build them with `const` functions, so that a descriptor costs nothing at run time.

use abi_stable::{
    StableAbi,
    std_types::{RSlice, RStr},
};

/// Hardware names used so far. The set is open: a plugin may declare any other.
pub mod hardware {
    /// The processor the host runs on.
    pub const CPU: &str = "cpu";
    /// An NVIDIA GPU.
    pub const CUDA: &str = "cuda";
    /// Intel QuickAssist.
    pub const QAT: &str = "qat";
}

/// Who made a plugin and what it is called; the host shows it and quotes it in errors.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct Manifest {
    /// Unique name of the plugin, e.g. `gzip-libdeflate`. The first one found wins.
    pub id: RStr<'static>,
    /// Version of the plugin.
    pub version: RStr<'static>,
    /// Authors.
    pub authors: RStr<'static>,
    /// SPDX expression, the wrapped library included.
    pub licence: RStr<'static>,
    /// Where to read more.
    pub homepage: RStr<'static>,
}

impl Manifest {
    /// A manifest with the two fields that every plugin needs.
    pub const fn new(id: &'static str, version: &'static str) -> Self {
        let empty = RStr::from_str("");
        Self {
            id: RStr::from_str(id),
            version: RStr::from_str(version),
            authors: empty,
            licence: empty,
            homepage: empty,
        }
    }

    /// Adds authors, licence (SPDX) and homepage.
    pub const fn about(
        mut self,
        authors: &'static str,
        licence: &'static str,
        homepage: &'static str,
    ) -> Self {
        self.authors = RStr::from_str(authors);
        self.licence = RStr::from_str(licence);
        self.homepage = RStr::from_str(homepage);
        self
    }
}

/// Levels a codec takes, inclusive. Their meaning is the library's own.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Levels {
    /// Lowest level (usually the fastest).
    pub min: i32,
    /// Highest level (usually the smallest output).
    pub max: i32,
    /// Level used when none is asked for.
    pub default: i32,
}

/// How many calls may run at once, over all instances of one codec. An open set: the host
/// treats a number it does not know as [`Threads::SERIALISED`].
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Threads(pub u8);

impl Threads {
    /// One call at a time, whatever the thread.
    pub const SERIALISED: Self = Self(0);
    /// Distinct instances work at the same time; one instance is used by one thread at a time.
    pub const CONCURRENT: Self = Self(1);
}

/// An option a codec takes when it is opened, beside the level.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct OptionSpec {
    /// Name, e.g. `window_log`.
    pub name: RStr<'static>,
    /// Smallest value.
    pub min: i64,
    /// Largest value.
    pub max: i64,
    /// Value when not given.
    pub default: i64,
    /// One line of help, with the unit.
    pub help: RStr<'static>,
}

/// Name of the option that says, by 1, that the caller compares what comes out with a checksum of its own: then
/// [`Codec::decompress`](crate::Codec::decompress) need not compute those that frames carry of their content, and
/// [`Codec::compress`](crate::Codec::compress) may write frames without one where the format allows that. All other faults are noticed as
/// ever. For codecs whose checksum takes a part of the time that counts.
pub const SKIP_CHECKSUM: &str = "skip_checksum";

/// Name of the option that says how many bytes that is a part of which comes to [`Codec::compress`](crate::Codec::compress): a sample,
/// by which the caller learns how the whole would do. For codecs that set themselves up otherwise for little than for much; what comes out
/// is a frame as ever.
pub const WHOLE_BYTES: &str = "whole_bytes";

impl OptionSpec {
    /// The option [`WHOLE_BYTES`].
    pub const fn whole_bytes() -> Self {
        let help = "bytes that what is compressed is a sample of; 0 where it is all there is";
        Self::new(WHOLE_BYTES, 0, i64::MAX, 0, help)
    }

    /// The option [`SKIP_CHECKSUM`].
    pub const fn skip_checksum() -> Self {
        Self::new(SKIP_CHECKSUM, 0, 1, 0, "whether checksums of content are left to the caller, who has one")
    }

    /// An option whose value is a whole number within `min..=max`.
    pub const fn new(name: &'static str, min: i64, max: i64, default: i64, help: &'static str) -> Self {
        Self { name: RStr::from_str(name), min, max, default, help: RStr::from_str(help) }
    }
}

/// One implementation of one algorithm.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct Descriptor {
    /// Byte-level standard, e.g. `zstd`: two codecs with the same algorithm must read each other's output.
    pub algorithm: RStr<'static>,
    /// Where it runs; see [`hardware`].
    pub hardware: RStr<'static>,
    /// Library that does the work, e.g. `libzstd`.
    pub library: RStr<'static>,
    /// Version of that library.
    pub library_version: RStr<'static>,
    /// Levels, inclusive.
    pub levels: Levels,
    /// Usual file name extension without the dot, or empty.
    pub extension: RStr<'static>,
    /// Bytes every frame starts with, or empty. With them the host recognises files of this algorithm.
    pub magic: RSlice<'static, u8>,
    /// Options beside the level.
    pub options: RSlice<'static, OptionSpec>,
    /// Largest input of one `compress` call, in bytes.
    pub max_chunk_bytes: u64,
    /// Thread contract.
    pub threads: Threads,
    /// Whether it can compress.
    pub compresses: bool,
    /// Whether it can decompress.
    pub decompresses: bool,
    /// Whether damaged or hostile frames end in an error, never in undefined behaviour.
    pub safe_on_hostile_input: bool,
}

impl Descriptor {
    /// A codec on the CPU with one level (0), any chunk size, concurrent instances, both directions,
    /// safe on hostile input. The other functions change one thing each.
    pub const fn new(algorithm: &'static str, library: &'static str) -> Self {
        Self {
            algorithm: RStr::from_str(algorithm),
            hardware: RStr::from_str(hardware::CPU),
            library: RStr::from_str(library),
            library_version: RStr::from_str(""),
            levels: Levels { min: 0, max: 0, default: 0 },
            extension: RStr::from_str(""),
            magic: RSlice::from_slice(&[]),
            options: RSlice::from_slice(&[]),
            max_chunk_bytes: u64::MAX,
            threads: Threads::CONCURRENT,
            compresses: true,
            decompresses: true,
            safe_on_hostile_input: true,
        }
    }

    /// Sets the version of the wrapped library.
    pub const fn library_version(mut self, version: &'static str) -> Self {
        self.library_version = RStr::from_str(version);
        self
    }

    /// Sets the hardware; see [`hardware`].
    pub const fn hardware(mut self, name: &'static str) -> Self {
        self.hardware = RStr::from_str(name);
        self
    }

    /// Sets the inclusive range of levels and the default.
    pub const fn levels(mut self, min: i32, max: i32, default: i32) -> Self {
        self.levels = Levels { min, max, default };
        self
    }

    /// Sets how files of the algorithm are named and recognised.
    pub const fn file(mut self, extension: &'static str, magic: &'static [u8]) -> Self {
        self.extension = RStr::from_str(extension);
        self.magic = RSlice::from_slice(magic);
        self
    }

    /// Sets the options.
    pub const fn options(mut self, options: &'static [OptionSpec]) -> Self {
        self.options = RSlice::from_slice(options);
        self
    }

    /// Sets the largest input of one `compress` call, in bytes.
    pub const fn max_chunk_bytes(mut self, bytes: u64) -> Self {
        self.max_chunk_bytes = bytes;
        self
    }

    /// Sets the thread contract.
    pub const fn threads(mut self, threads: Threads) -> Self {
        self.threads = threads;
        self
    }

    /// Sets the directions.
    pub const fn directions(mut self, compresses: bool, decompresses: bool) -> Self {
        self.compresses = compresses;
        self.decompresses = decompresses;
        self
    }

    /// Declares that damaged frames must not reach this codec: the host verifies them first.
    pub const fn trusted_input_only(mut self) -> Self {
        self.safe_on_hostile_input = false;
        self
    }

    /// The implementation's name: `<algorithm>/<hardware>/<library>`.
    pub fn implementation(&self) -> String {
        format!("{}/{}/{}", self.algorithm, self.hardware, self.library)
    }
}
