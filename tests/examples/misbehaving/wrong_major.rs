//! A good codec, built against the next major version of the interface.

#![expect(unsafe_code, reason = "exports a root of its own")]
#![expect(dead_code, reason = "the accessor of the root is for a host")]

mod identity;
mod root;

use abi_stable::{StableAbi, library::RootModule, prefix_type::PrefixTypeTrait, sabi_types::VersionStrings};
use clipsmaster_plugin_api::{
    Decoder, Descriptor, Manifest,
    abi::{
        CodecV1, PluginV1,
        export::{CodecList, codec_table, plugin_table, standard_extension},
    },
};
use identity::{Behaviour, Identity};

#[derive(Default)]
struct WrongMajor;

impl Behaviour for WrongMajor {
    const DESCRIPTOR: Descriptor = Descriptor::new("bad-wrong-major", "test");
}

struct Codecs;

impl CodecList for Codecs {
    const TABLES: &'static [CodecV1] = &[codec_table::<Identity<WrongMajor>>()];
    const DECODERS: &'static [Option<Decoder>] = &[WrongMajor::DECODER];
}

#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = RootRef)))]
#[sabi(missing_field(panic))]
struct Root {
    #[sabi(last_prefix_field)]
    v1: &'static PluginV1,
}

impl RootModule for RootRef {
    abi_stable::declare_root_module_statics! {RootRef}
    const BASE_NAME: &'static str = "clipsmaster_plugin";
    const NAME: &'static str = "clipsmaster_plugin";
    const VERSION_STRINGS: VersionStrings = VersionStrings::new("2.0.0");
}

static PLUGIN: PluginV1 = plugin_table::<Codecs>(
    Manifest::new("bad-wrong-major", env!("CARGO_PKG_VERSION")),
    standard_extension::<Codecs>,
);

fn make() -> RootRef {
    Root { v1: &PLUGIN }.leak_into_prefix()
}

root::export_root! { id: "bad-wrong-major", root: RootRef, make: make }
