//! Built against another interface: tables of the same names with other contents.

#![expect(unsafe_code, reason = "exports a root of its own")]
#![expect(dead_code, reason = "the accessor of the root is for a host")]

mod root;

use abi_stable::{StableAbi, library::RootModule, prefix_type::PrefixTypeTrait, sabi_types::VersionStrings};

/// Shorter than the real one, and with another type for `abi`: reading it unchecked goes wrong.
#[repr(C)]
#[derive(StableAbi)]
struct PluginV1 {
    abi: u64,
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
    const VERSION_STRINGS: VersionStrings = VersionStrings::new("1.0.0");
}

static PLUGIN: PluginV1 = PluginV1 { abi: 1 };

fn make() -> RootRef {
    Root { v1: &PLUGIN }.leak_into_prefix()
}

root::export_root! { id: "bad-wrong-layout", root: RootRef, make: make }
