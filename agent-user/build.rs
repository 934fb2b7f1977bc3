//! Puts the eBPF object where the crate embeds it. `cargo xtask build` says where it is; without
//! it (in an editor, in `cargo test`) the object is empty, and the daemon says so at start.

use std::{env, fs, path::Path};

fn main() {
    println!("cargo::rerun-if-env-changed=BAILIFF_EBPF_OBJECT");
    let directory = env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    let target = Path::new(&directory).join("bailiff-ebpf.o");
    match env::var_os("BAILIFF_EBPF_OBJECT") {
        Some(object) => {
            let object = Path::new(&object);
            println!("cargo::rerun-if-changed={}", object.display());
            fs::copy(object, target).expect("the object that BAILIFF_EBPF_OBJECT names");
        }
        None => fs::write(target, []).expect("OUT_DIR is writable"),
    }
}
