//! Real zstd on a pretended device, which gets lost when the tests create a file.

use clipsmaster_plugin_api::{
    Codec, Decoder, DecoderLimits, Descriptor, Error, ErrorKind, Options, Result, read_to_end_into,
};
use clipsmaster_tests::FAIL_FILE_VARIABLE;
use std::{io::Read, path::Path};
use zstd::zstd_safe::{self, CCtx, CParameter, ErrorCode, zstd_sys::ZSTD_ErrorCode};

/// Where the device fails.
pub(crate) trait Fault: Send + 'static {
    /// Name of the library; the two plugins are two implementations.
    const LIBRARY: &'static str;

    fn at_open() -> Result<()> {
        Ok(())
    }

    fn at_compress() -> Result<()> {
        Ok(())
    }

    /// What is going to be compressed.
    fn at_input(_bytes: &mut [u8]) {}

    /// What has been decompressed.
    fn at_output(_bytes: &mut [u8]) {}
}

/// Whether the tests want the device lost. Looked up at every call: the host loads the plugin first.
pub(crate) fn device_is_lost() -> bool {
    std::env::var_os(FAIL_FILE_VARIABLE).is_some_and(|path| Path::new(&path).exists())
}

#[allow(dead_code, reason = "not every library loses its device")]
pub(crate) fn lost() -> Error {
    Error::new(ErrorKind::DeviceLost, "the test device is lost")
}

/// Changes one byte.
#[allow(dead_code, reason = "not every library lies")]
pub(crate) fn lie(bytes: &mut [u8]) {
    let middle = bytes.len() / 2;
    bytes.iter_mut().skip(middle).take(1).for_each(|b| *b ^= 1);
}

pub(crate) struct Fragile<F> {
    context: CCtx<'static>,
    fault: std::marker::PhantomData<F>,
}

impl<F: Fault> Codec for Fragile<F> {
    const DESCRIPTOR: Descriptor = Descriptor::new("zstd", F::LIBRARY)
        .hardware("npu")
        .levels(1, 19, 3)
        .file("zst", &[0x28, 0xb5, 0x2f, 0xfd]);
    const DECODER: Option<Decoder> = Some(|input, limits| Ok(Box::new(decoder(input, limits)?)));

    fn probe() -> Result<String, clipsmaster_plugin_api::Unavailable> {
        Ok("test npu 0".into())
    }

    fn open(level: i32, _options: &Options) -> Result<Self> {
        F::at_open()?;
        let mut context = CCtx::create();
        // The checksum, because zstd does not notice every damage without it.
        for parameter in [CParameter::CompressionLevel(level), CParameter::ChecksumFlag(true)] {
            context.set_parameter(parameter).map_err(error)?;
        }
        Ok(Self { context, fault: std::marker::PhantomData })
    }

    fn compress_bound(&self, len: usize) -> usize {
        zstd_safe::compress_bound(len)
    }

    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        F::at_compress()?;
        let mut input = src.to_vec();
        F::at_input(&mut input);
        self.context.compress2(dst, &input[..]).map_err(error)
    }

    fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        if src.is_empty() {
            return Err(ErrorKind::Truncated.into());
        }
        let len = read_to_end_into(decoder(src, DecoderLimits::new(u64::MAX))?, dst)?;
        F::at_output(&mut dst[..len]);
        Ok(len)
    }
}

fn error(code: ErrorCode) -> Error {
    if zstd_safe::is_error_kind(code, ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall) {
        return ErrorKind::DestinationTooSmall.into();
    }
    Error::internal(zstd_safe::get_error_name(code))
}

fn decoder<'a>(input: impl Read + 'a, limits: DecoderLimits) -> Result<impl Read + 'a> {
    let mut decoder = zstd::Decoder::new(input)?;
    // zstd takes the logarithm, from 10 (1 KiB) to 31.
    decoder.window_log_max(limits.memory_bytes.max(1).ilog2().clamp(10, 31))?;
    Ok(decoder)
}
