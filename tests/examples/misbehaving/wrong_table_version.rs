//! A good codec of the right layout whose table says that it means something else.

#![expect(unsafe_code, reason = "exports a root of its own")]

mod identity;
mod root;

use clipsmaster_plugin_api::{
    Decoder, Descriptor, Manifest,
    abi::{
        CodecV1, PluginV1, RootRef,
        export::{self, CodecList, codec_table, plugin_table, standard_extension},
    },
};
use identity::{Behaviour, Identity};

#[derive(Default)]
struct WrongTableVersion;

impl Behaviour for WrongTableVersion {
    const DESCRIPTOR: Descriptor = Descriptor::new("bad-wrong-table-version", "test");
}

struct Codecs;

impl CodecList for Codecs {
    const TABLES: &'static [CodecV1] = &[codec_table::<Identity<WrongTableVersion>>()];
    const DECODERS: &'static [Option<Decoder>] = &[WrongTableVersion::DECODER];
}

static PLUGIN: PluginV1 = PluginV1 {
    abi: 99,
    ..plugin_table::<Codecs>(
        Manifest::new("bad-wrong-table-version", env!("CARGO_PKG_VERSION")),
        standard_extension::<Codecs>,
    )
};

fn make() -> RootRef {
    export::root(&PLUGIN)
}

root::export_root! { id: "bad-wrong-table-version", root: RootRef, make: make }
