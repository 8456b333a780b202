//! Rebuilds the crate when a lesson is added or removed; the compiler itself notices only changed ones.

fn main() {
    println!("cargo:rerun-if-changed=content");
}
