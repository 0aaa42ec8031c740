//! A good codec with an extension beside `stream/1`.

#![forbid(unsafe_code)]

mod identity;

use clipsmaster_plugin_api::{
    Descriptor, Result,
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
use clipsmaster_tests::counter::{COUNTER, CounterRef, CounterV1};
use identity::{Behaviour, Identity, copy};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

static CALLS: AtomicU64 = AtomicU64::new(0);

#[derive(Default)]
struct WithExtension;

impl Behaviour for WithExtension {
    const DESCRIPTOR: Descriptor = Descriptor::new("bad-with-extension", "test");

    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        CALLS.fetch_add(1, Relaxed);
        copy(src, dst)
    }
}

extern "C" fn compress_calls() -> u64 {
    CALLS.load(Relaxed)
}

const TABLE: &WithMetadata<CounterV1> = &WithMetadata::new(CounterV1 { compress_calls });

extern "C" fn extension(name: RStr<'_>) -> ROption<ExtensionRef> {
    if name.as_str() != COUNTER {
        return standard_extension::<ClipsmasterCodecs>(name);
    }
    RSome(extension_ref(CounterRef::from_prefix_ref(TABLE.static_as_prefix())))
}

export_plugin! { id: "bad-with-extension", codecs: [Identity<WithExtension>], extension: extension }
