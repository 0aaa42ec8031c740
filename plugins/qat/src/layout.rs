//! Compares the declarations in [`ffi`](crate::ffi) with an installed `qatzip.h`, through the C compiler.
//!
//! Skipped where there is neither; `CLIPSMASTER_QATZIP_HEADER` names a header elsewhere.

use crate::ffi::{Common, Component, Deflate, DeflateExt, QzSession};
use std::{
    env, fs,
    mem::offset_of,
    path::Path,
    process::{self, Command},
};

const HEADERS: [&str; 2] = ["/usr/include/qatzip.h", "/usr/local/include/qatzip.h"];

/// C expressions and their values here.
fn expected() -> Vec<(String, usize)> {
    let mut all: Vec<(String, usize)> = [
        ("QzSession_T", size_of::<QzSession>()),
        ("QzSessionParamsCommon_T", size_of::<Common>()),
        ("QzSessionParamsLZ4_T", size_of::<Common>()),
        ("QzSessionParamsDeflate_T", size_of::<Deflate>()),
        ("QzSessionParamsDeflateExt_T", size_of::<DeflateExt>()),
        ("QzSoftwareVersionInfo_T", size_of::<Component>()),
    ]
    .map(|(name, bytes)| (format!("sizeof({name})"), bytes))
    .into();
    macro_rules! offsets {
        ($structure:literal, $own:ty: $($field:ident)+) => {
            $(all.push((
                format!("offsetof({}, {})", $structure, stringify!($field)),
                offset_of!($own, $field),
            ));)+
        };
    }
    offsets!("QzSession_T", QzSession: hw_session_stat thd_sess_stat internal total_in total_out);
    offsets!("QzSessionParamsCommon_T", Common: direction comp_lvl comp_algorithm max_forks sw_backup hw_buff_sz
        strm_buff_sz input_sz_thrshold req_cnt_thrshold wait_cnt_thrshold polling_mode is_sensitive_mode);
    offsets!("QzSessionParamsDeflate_T", Deflate: common_params huffman_hdr data_fmt);
    offsets!("QzSessionParamsDeflateExt_T", DeflateExt: deflate_params stop_decompression_stream_end zlib_format);
    offsets!("QzSoftwareVersionInfo_T", Component: component_type component_name major_version minor_version
        patch_version build_number reserved);
    all
}

#[test]
fn declarations_are_those_of_the_header() {
    let named = env::var("CLIPSMASTER_QATZIP_HEADER").ok();
    let known = HEADERS.into_iter().find(|h| Path::new(h).exists()).map(str::to_owned);
    let Some(header) = named.or(known) else {
        eprintln!(
            "skipped: no qatzip.h; install QATzip's development files or set CLIPSMASTER_QATZIP_HEADER"
        );
        return;
    };
    let asserts = expected().into_iter().map(|(expression, value)| {
        format!("_Static_assert(({expression}) == {value}, \"{expression} is not {value}\");\n")
    });
    let includes = format!("#include <stddef.h>\n#include <stdint.h>\n#include \"{header}\"\n");
    let file = env::temp_dir().join(format!("clipsmaster-qatzip-{}.c", process::id()));
    fs::write(&file, includes + &asserts.collect::<String>()).expect("a temporary file");
    let output = Command::new("cc").arg("-fsyntax-only").arg(&file).output();
    fs::remove_file(&file).expect("the temporary file");
    match output {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
        Err(_) => eprintln!("skipped: no C compiler `cc`"),
    }
}
