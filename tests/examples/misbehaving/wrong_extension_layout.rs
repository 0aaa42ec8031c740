//! A good codec whose extension has the right name and the wrong table.

#![forbid(unsafe_code)]
#![expect(dead_code, reason = "the accessor of the table is for a host")]

mod identity;

use abi_stable::StableAbi;
use clipsmaster_plugin_api::{
    Descriptor,
    abi::{
        ExtensionRef,
        export::{extension_ref, standard_extension},
    },
    abi_stable::{
        prefix_type::{PrefixRefTrait, WithMetadata},
        std_types::{ROption, RSome, RStr},
    },
    export_plugin,
};
use clipsmaster_tests::counter::COUNTER;
use identity::{Behaviour, Identity};

/// Of the same name and package as the real one, so that only the function's type tells them apart.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = CounterRef)))]
#[sabi(missing_field(panic))]
struct CounterV1 {
    #[sabi(last_prefix_field)]
    compress_calls: extern "C" fn(u32) -> u32,
}

#[derive(Default)]
struct WrongExtensionLayout;

impl Behaviour for WrongExtensionLayout {
    const DESCRIPTOR: Descriptor = Descriptor::new("bad-wrong-extension-layout", "test");
}

extern "C" fn compress_calls(scale: u32) -> u32 {
    scale
}

const TABLE: &WithMetadata<CounterV1> = &WithMetadata::new(CounterV1 { compress_calls });

extern "C" fn extension(name: RStr<'_>) -> ROption<ExtensionRef> {
    if name.as_str() != COUNTER {
        return standard_extension::<ClipsmasterCodecs>(name);
    }
    RSome(extension_ref(CounterRef::from_prefix_ref(TABLE.static_as_prefix())))
}

export_plugin! { id: "bad-wrong-extension-layout", codecs: [Identity<WrongExtensionLayout>], extension: extension }
