//! Links the OCI command line at fixed addresses.
//!
//! It lives for milliseconds, and a position-independent program of its size spends a third of them on relocating itself.
//! It reads no bytes of a container's. The programs that do (agent, engine, server) stay position-independent.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let set = |name: &str| std::env::var(name).unwrap_or_default();
    let is_static = set("CARGO_CFG_TARGET_FEATURE").split(',').any(|feature| feature == "crt-static");
    if is_static && set("CARGO_CFG_TARGET_ENV") == "gnu" {
        for argument in ["-static", "-no-pie"] {
            println!("cargo:rustc-link-arg-bin=isolab-runtime={argument}");
        }
    }
}
