//! What the host itself knows about algorithms: the product's own six and `store`.
//!
//! Everything else about an algorithm (extension, magic, levels) comes from the descriptors of
//! installed plugins; this table serves what must be known without them: other names people use, which implementation defines
//! what a level means, and how to name a format whose plugin is missing.

/// A well-known byte-level standard.
#[derive(Debug)]
pub struct Known {
    /// Name in descriptors and on the command line.
    pub name: &'static str,
    /// Other names people use.
    pub aliases: &'static [&'static str],
    /// Library whose ratio at a level defines what that level asks for.
    pub reference_library: &'static str,
    /// Bytes every frame starts with.
    pub magic: &'static [u8],
    /// Usual file name extension.
    pub extension: &'static str,
    /// Whether checksums cover all of a frame, so that damage must be seen by the decoder.
    pub checksummed: bool,
}

/// The algorithms of the product. Sources of the magic bytes: RFC 8878, the LZ4 frame format 1.6, RFC 1952, the
/// bzip2 and .xz file formats, the snappy framing format.
pub const KNOWN: &[Known] = &[
    known("zstd", &["zst"], "libzstd", &[0x28, 0xb5, 0x2f, 0xfd], "zst"),
    known("lz4", &[], "liblz4", &[0x04, 0x22, 0x4d, 0x18], "lz4"),
    known("gzip", &["gz"], "zlib-rs", &[0x1f, 0x8b, 0x08], "gz"),
    known("bzip2", &["bz2"], "libbz2-rs", b"BZh", "bz2"),
    known("lzma", &["xz"], "liblzma", &[0xfd, b'7', b'z', b'X', b'Z', 0], "xz"),
    // A damaged chunk type may read as padding, which a decoder must skip: checksums cover the data, not the headers.
    Known { checksummed: false, ..known("snappy", &["sz"], "snap", b"\xff\x06\x00\x00sNaPpY", "sz") },
    Known { checksummed: false, ..known(STORE, &[], "copy", &[], "store") },
];

/// Name of the algorithm whose frames are the bytes themselves.
pub const STORE: &str = "store";

/// Algorithm used when neither an algorithm nor a resource type is given.
pub const DEFAULT: &str = "zstd";

const fn known(
    name: &'static str,
    aliases: &'static [&'static str],
    reference_library: &'static str,
    magic: &'static [u8],
    extension: &'static str,
) -> Known {
    Known { name, aliases, reference_library, magic, extension, checksummed: true }
}

/// The well-known algorithm of that exact name.
pub fn find(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|k| k.name == name)
}

/// The canonical name: lower case, aliases resolved; names not in the table stay as they are.
pub fn canonical(name: &str) -> String {
    // Most come as they are to be.
    if find(name).is_some() {
        return name.to_owned();
    }
    let name = name.to_ascii_lowercase();
    let known = KNOWN.iter().find(|k| k.aliases.contains(&name.as_str()));
    known.map_or(name, |k| k.name.to_owned())
}

/// Whether `library` defines what the levels of `algorithm` mean.
pub fn is_reference(algorithm: &str, library: &str) -> bool {
    find(algorithm).is_some_and(|k| k.reference_library == library)
}

/// Memory, in bytes, that decoding a frame of `raw_bytes` of one of the known algorithms takes beside its buffers: xz(1) and bzip2(1) list
/// theirs, and no dictionary is larger than what it is for; the others need less than 1 MiB when they decode from memory to memory.
pub fn decoder_bytes(algorithm: &str, level: i32, raw_bytes: u64) -> u64 {
    const DICTIONARY_LOG: [u32; 10] = [18, 20, 21, 22, 22, 23, 23, 24, 25, 26];
    let level = usize::try_from(level).unwrap_or(0).min(9);
    match algorithm {
        "lzma" => {
            let most = 1 << DICTIONARY_LOG[level];
            raw_bytes.clamp(1, most).next_power_of_two() + (1 << 20)
        }
        "bzip2" => 100_000 + 400_000 * level.max(1) as u64,
        STORE => 0,
        _ => 1 << 20,
    }
}

/// Length of the skippable frame (RFC 8878, 3.1.2) at the start of `head`, header included. zstd and
/// LZ4 share them, and a file of either may begin with one.
pub fn skippable_frame_len(head: &[u8]) -> Option<u64> {
    let (magic, rest) = head.split_first_chunk::<4>()?;
    let (len, _) = rest.split_first_chunk::<4>()?;
    let is_skippable = u32::from_le_bytes(*magic) & 0xffff_fff0 == 0x184d_2a50;
    is_skippable.then(|| 8 + u64::from(u32::from_le_bytes(*len)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_resolve_and_unknown_names_stay() {
        assert_eq!(canonical("XZ"), "lzma");
        assert_eq!(canonical("gzip"), "gzip");
        assert_eq!(canonical("brotli"), "brotli");
    }

    #[test]
    fn skippable_frames_are_measured() {
        assert_eq!(skippable_frame_len(b"\x5e\x2a\x4d\x18\x05\x00\x00\x00hello"), Some(13));
        assert_eq!(skippable_frame_len(&[0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0]), None);
        assert_eq!(skippable_frame_len(b"\x50\x2a\x4d"), None);
    }
}
